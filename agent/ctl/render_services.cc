// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "agent/ctl/json.h"
#include "agent/ctl/render.h"
#include "agent/ctl/text_table.h"

namespace fairlead::ctl {

namespace {

std::string Join(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ","));
}

std::string CountText(const Frontend& frontend) {
  if (frontend.changing) return "?";
  if (frontend.Draining() == 0) return fmt::format("{}", frontend.Offered());
  return fmt::format("{}+{} draining", frontend.Offered(), frontend.Draining());
}

std::string FlagText(const Frontend& frontend) {
  std::vector<std::string> words;
  if (!frontend.changing && frontend.Offered() == 0)
    words.push_back(frontend.drops_if_empty ? "drops" : "rejects");
  if (frontend.source_ranges) words.emplace_back("source-ranges");
  if (frontend.masquerade) words.emplace_back("masquerade");
  if (frontend.changing) words.emplace_back("changing");
  return Join(words);
}

std::string AffinityText(const Frontend& frontend) {
  return frontend.affinity_timeout_s == 0 ? "" : fmt::format("{}s", frontend.affinity_timeout_s);
}

std::string StateText(const Backend& backend) {
  return backend.draining ? "draining" : backend.terminating ? "terminating" : "ready";
}

std::string BackendListText(const Frontend& frontend) {
  std::vector<std::string> words;
  for (const Backend& backend : frontend.backends) {
    std::string word = AddressPort(backend.address, backend.port);
    if (backend.draining) word += "(draining)";
    words.push_back(std::move(word));
  }
  return Join(words);
}

void AddName(JsonWriter& json, const plan::ServicePortKey& key) {
  json.Member("namespace", key.service.ns)
      .Member("name", key.service.name)
      .Member("port_name", key.port)
      .Member("protocol", kube::ProtocolName(key.protocol))
      .Member("family", static_cast<unsigned>(key.family));
}

std::string ServicesJson(const Snapshot& snapshot, const Filter& filter) {
  JsonWriter json;
  json.BeginArray();
  for (const Frontend& frontend : snapshot.frontends) {
    if (!filter.Matches(frontend)) continue;
    json.BeginObject();
    AddName(json, frontend.service);
    json.Member("service_id", frontend.service_id)
        .Member("kind", KindName(frontend.kind))
        .Member("address", frontend.address.ToString())
        .Member("port", frontend.port)
        .Member("scope", ScopeName(frontend.scope))
        .Member("backend_count", frontend.Offered())
        .Member("draining_count", frontend.Draining())
        .Member("algorithm", frontend.algorithm)
        .Member("affinity_timeout_s", frontend.affinity_timeout_s)
        .Member("when_empty", frontend.drops_if_empty ? "drop" : "reject")
        .Member("source_ranges", frontend.source_ranges)
        .Member("masquerade", frontend.masquerade)
        .Member("connections", frontend.connections)
        .Member("run_offset", frontend.run_offset)
        .Member("changing", frontend.changing)
        .BeginArray("backends");
    for (const Backend& backend : frontend.backends) {
      json.BeginObject()
          .Member("id", backend.id)
          .Member("address", backend.address.ToString())
          .Member("port", backend.port)
          .Member("draining", backend.draining)
          .EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
  return std::move(json).Take();
}

// A backend that one frontend of the service port offers is not draining for the others' sake.
using BackendRows = std::map<std::pair<plan::ServicePortKey, uint32_t>, Backend>;

BackendRows CollectBackends(const Snapshot& snapshot, const Filter& filter) {
  BackendRows rows;
  for (const Frontend& frontend : snapshot.frontends) {
    for (const Backend& backend : frontend.backends) {
      if (!filter.Matches(frontend, backend)) continue;
      auto [row, added] = rows.emplace(std::pair(frontend.service, backend.id), backend);
      if (!added) row->second.draining = row->second.draining && backend.draining;
    }
  }
  return rows;
}

std::vector<BackendRows::const_iterator> ByAddress(const BackendRows& rows) {
  std::vector<BackendRows::const_iterator> sorted;
  for (auto it = rows.begin(); it != rows.end(); ++it) sorted.push_back(it);
  std::stable_sort(sorted.begin(), sorted.end(), [](auto a, auto b) {
    return std::tie(a->first.first, a->second.address, a->second.port) <
           std::tie(b->first.first, b->second.address, b->second.port);
  });
  return sorted;
}

std::string BackendsJson(const BackendRows& rows) {
  JsonWriter json;
  json.BeginArray();
  for (auto row : ByAddress(rows)) {
    const Backend& backend = row->second;
    json.BeginObject();
    AddName(json, row->first.first);
    json.Member("id", backend.id)
        .Member("address", backend.address.ToString())
        .Member("port", backend.port)
        .Member("local", backend.local)
        .Member("terminating", backend.terminating)
        .Member("draining", backend.draining)
        .Member("weight", backend.weight)
        .Member("connections", backend.connections)
        .EndObject();
  }
  json.EndArray();
  return std::move(json).Take();
}

}  // namespace

std::string ServiceText(const plan::ServicePortKey& key) {
  return key.port.empty() ? key.service.ToString() : key.service.ToString() + ":" + key.port;
}

std::string RenderServices(const Snapshot& snapshot, const Filter& filter, Format format) {
  if (format == Format::kJson) return ServicesJson(snapshot, filter);
  std::vector<Column> columns = {
      {"SERVICE"},  {"PROTOCOL"},  {"KIND"},     {"ADDRESS"}, {"SCOPE"},
      {"BACKENDS"}, {"ALGORITHM"}, {"AFFINITY"}, {"FLAGS"},   {"CONNECTIONS", Align::kRight}};
  if (format == Format::kWide) {
    columns.insert(columns.end(), {{"ID", Align::kRight}, {"RUN", Align::kRight}, {"BACKEND ADDRESSES"}});
  }
  TextTable table(std::move(columns));
  bool any = false;
  for (const Frontend& frontend : snapshot.frontends) {
    if (!filter.Matches(frontend)) continue;
    any = true;
    table.Add({ServiceText(frontend.service), std::string(kube::ProtocolName(frontend.service.protocol)),
               std::string(KindName(frontend.kind)), AddressPort(frontend.address, frontend.port),
               std::string(ScopeName(frontend.scope)), CountText(frontend), frontend.algorithm,
               AffinityText(frontend), FlagText(frontend), fmt::format("{}", frontend.connections),
               fmt::format("{}", frontend.service_id), fmt::format("{}", frontend.run_offset),
               BackendListText(frontend)});
  }
  return any ? table.Render() : "no services\n";
}

std::string RenderBackends(const Snapshot& snapshot, const Filter& filter, Format format) {
  BackendRows rows = CollectBackends(snapshot, filter);
  if (format == Format::kJson) return BackendsJson(rows);
  std::vector<Column> columns = {{"SERVICE"}, {"PROTOCOL"}, {"BACKEND"},
                                 {"STATE"},   {"WHERE"},    {"CONNECTIONS", Align::kRight}};
  if (format == Format::kWide) {
    columns.insert(columns.end(), {{"WEIGHT", Align::kRight}, {"ID", Align::kRight}});
  }
  TextTable table(std::move(columns));
  for (auto row : ByAddress(rows)) {
    const auto& [key, backend] = *row;
    table.Add({ServiceText(key.first), std::string(kube::ProtocolName(key.first.protocol)),
               AddressPort(backend.address, backend.port), StateText(backend),
               backend.local ? "local" : "remote", fmt::format("{}", backend.connections),
               fmt::format("{}", backend.weight), fmt::format("{}", backend.id)});
  }
  return rows.empty() ? "no backends\n" : table.Render();
}

}  // namespace fairlead::ctl
