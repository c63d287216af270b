// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ctime>
#include <set>

#include "agent/ctl/json.h"
#include "agent/ctl/render.h"
#include "agent/ctl/text_table.h"

namespace fairlead::ctl {

namespace {

constexpr std::string_view kMode = "ebpf";  // only its tables are pinned

// What stands beside it.
std::vector<modes::Standing> Besides(std::span<const modes::Standing> standing) {
  std::vector<modes::Standing> besides;
  for (const modes::Standing& stands : standing) {
    if (stands.mode != modes::Mode::kEbpf) besides.push_back(stands);
  }
  return besides;
}

struct Totals {
  size_t services = 0;
  size_t service_ports = 0;
  size_t frontends = 0;
  size_t backends = 0;
};

Totals Count(const Snapshot& snapshot) {
  std::set<kube::ObjectName> services;
  std::set<plan::ServicePortKey> ports;
  std::set<uint32_t> backends;
  for (const Frontend& frontend : snapshot.frontends) {
    services.insert(frontend.service.service);
    ports.insert(frontend.service);
    for (const Backend& backend : frontend.backends) backends.insert(backend.id);
  }
  return {services.size(), ports.size(), snapshot.frontends.size(), backends.size()};
}

std::string UtcText(int64_t seconds) {
  time_t time = seconds;
  tm parts{};
  char text[32];
  if (!::gmtime_r(&time, &parts) || std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
    return "?";
  return text;
}

// A tenth of a percent, so that the first rows of a large table show.
std::string PercentText(const TableUse& table) {
  if (table.capacity == 0) return "";
  return fmt::format("{:.1f}%",
                     100.0 * static_cast<double>(table.used) / static_cast<double>(table.capacity));
}

std::string PlaceText(const Link& link) {
  if (!link.device.empty()) return link.device + (link.ifindex == 0 ? " (removed)" : "");
  return link.cgroup_id == 0 ? "cgroup (removed)" : fmt::format("cgroup {}", link.cgroup_id);
}

std::string StatusJson(const Status& status, const Snapshot& snapshot,
                       std::span<const modes::Standing> standing, std::optional<uint64_t> waiting) {
  Totals totals = Count(snapshot);
  JsonWriter json;
  json.BeginObject()
      .Member("mode", kMode)
      .Member("bpffs_dir", status.bpffs_dir)
      .Member("schema_version", status.schema_version)
      .Member("agent_pid", status.agent_pid)
      .Member("agent_started", UtcText(status.agent_started_s))
      .Member("agent_visible", status.agent_visible)
      .Member("cgroup_id", status.cgroup_id)
      .Member("cgroup_path", status.cgroup_path)
      .Member("complete", status.missing_hooks.empty())
      .BeginArray("missing_hooks");
  for (const std::string& hook : status.missing_hooks) json.Member("", hook);
  json.EndArray().BeginArray("beside");
  for (const modes::Standing& stands : Besides(standing)) json.Member("", modes::ModeName(stands.mode));
  json.EndArray();
  if (waiting) json.Member("pending_service_ports", *waiting);
  json.Member("services", totals.services)
      .Member("service_ports", totals.service_ports)
      .Member("frontends", totals.frontends)
      .Member("backends", totals.backends)
      .BeginArray("nodeport_addresses");
  for (const Address& address : snapshot.nodeport_addresses) json.Member("", address.ToString());
  json.EndArray().BeginArray("service_cidrs");
  for (const Cidr& cidr : snapshot.service_cidrs) json.Member("", cidr.ToString());
  json.EndArray().BeginArray("links");
  for (const Link& link : status.links) {
    json.BeginObject()
        .Member("name", link.name)
        .Member("hook", link.hook)
        .Member("link_id", link.link_id)
        .Member("program_id", link.program_id)
        .Member("cgroup_id", link.cgroup_id)
        .Member("device", link.device)
        .Member("ifindex", link.ifindex)
        .EndObject();
  }
  json.EndArray().BeginArray("tables");
  for (const TableUse& table : snapshot.tables) {
    json.BeginObject()
        .Member("name", table.name)
        .Member("used", table.used)
        .Member("capacity", table.capacity)
        .EndObject();
  }
  json.EndArray().EndObject();
  return std::move(json).Take();
}

template <typename List, typename Text>
std::string Joined(const List& list, Text text) {
  std::vector<std::string> words;
  for (const auto& item : list) words.push_back(text(item));
  return words.empty() ? "none" : fmt::format("{}", fmt::join(words, " "));
}

}  // namespace

std::string RenderStatus(const Status& status, const Snapshot& snapshot,
                         std::span<const modes::Standing> standing, Format format,
                         std::optional<uint64_t> waiting) {
  if (format == Format::kJson) return StatusJson(status, snapshot, standing, waiting);
  Totals totals = Count(snapshot);
  std::string text;
  auto line = [&](std::string_view what, std::string_view value) {
    text += fmt::format("{:<14}{}\n", what, value);
  };
  line("mode", kMode);
  line("pins", fmt::format("{} (schema {})", status.bpffs_dir, status.schema_version));
  line("agent", fmt::format("pid {}, started {}, {}", status.agent_pid, UtcText(status.agent_started_s),
                            status.agent_visible ? "running" : "not visible from here"));
  line("cgroup",
       fmt::format("{} (id {})", status.cgroup_path.empty() ? "not visible from here" : status.cgroup_path,
                   status.cgroup_id));
  line("hooks", status.missing_hooks.empty()
                    ? "complete"
                    : fmt::format("INCOMPLETE, missing {}", fmt::join(status.missing_hooks, ", ")));
  for (const modes::Standing& stands : Besides(standing))
    line("beside",
         fmt::format("{}, for SCTP or of an earlier run (`{}`)", modes::ModeName(stands.mode), stands.look));
  text += WaitingText(waiting);
  line("services", fmt::format("{} ({} ports)", totals.services, totals.service_ports));
  line("frontends", fmt::format("{}", totals.frontends));
  line("backends", fmt::format("{}", totals.backends));
  line("NodePorts on", Joined(snapshot.nodeport_addresses, [](const Address& a) { return a.ToString(); }));
  line("ServiceCIDRs", Joined(snapshot.service_cidrs, [](const Cidr& c) { return c.ToString(); }));

  TextTable tables(
      {{"TABLE"}, {"USED", Align::kRight}, {"CAPACITY", Align::kRight}, {"FULL", Align::kRight}});
  for (const TableUse& table : snapshot.tables) {
    tables.Add(
        {table.name, fmt::format("{}", table.used), fmt::format("{}", table.capacity), PercentText(table)});
  }
  TextTable links({{"LINK"}, {"HOOK"}, {"LINK ID", Align::kRight}, {"PROGRAM", Align::kRight}, {"ON"}});
  for (const Link& link : status.links) {
    links.Add({link.name, link.hook, fmt::format("{}", link.link_id), fmt::format("{}", link.program_id),
               PlaceText(link)});
  }
  return text + "\n" + tables.Render() + "\n" + links.Render();
}

std::string RenderCounters(std::span<const Counter> counters, bool all, Format format) {
  std::vector<Counter> shown;
  std::copy_if(counters.begin(), counters.end(), std::back_inserter(shown),
               [all](const Counter& counter) { return all || counter.count != 0; });
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginArray();
    for (const Counter& counter : shown) {
      json.BeginObject()
          .Member("program", counter.program)
          .Member("verdict", counter.verdict)
          .Member("action", counter.action)
          .Member("meaning", counter.meaning)
          .Member("count", counter.count)
          .EndObject();
    }
    json.EndArray();
    return std::move(json).Take();
  }
  std::vector<Column> columns = {{"PROGRAM"}, {"VERDICT"}, {"ACTION"}, {"COUNT", Align::kRight}};
  if (format == Format::kWide) columns.push_back({"MEANING"});
  TextTable table(std::move(columns));
  for (const Counter& counter : shown) {
    table.Add({counter.program, counter.verdict, counter.action, fmt::format("{}", counter.count),
               counter.meaning});
  }
  return shown.empty() ? "nothing counted yet\n" : table.Render();
}

}  // namespace fairlead::ctl
