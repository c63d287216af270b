// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/conntrack_command.h"

#include <net/if.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <memory>

#include "agent/ctl/affinity.h"
#include "agent/ctl/loaded_config.h"
#include "agent/ctl/netns_cookie.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/clock.h"
#include "agent/datapath/ebpf/pins.h"

namespace fairlead::ctl {

namespace {

constexpr std::pair<std::string_view, FlowAction> kActions[] = {
    {"list", FlowAction::kList}, {"count", FlowAction::kCount}, {"delete", FlowAction::kDelete}};

std::map<uint32_t, std::string> DeviceNames() {
  std::map<uint32_t, std::string> names;
  std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> list(::if_nameindex(),
                                                                            ::if_freenameindex);
  for (const auto* entry = list.get(); entry && entry->if_index != 0; ++entry)
    names.emplace(entry->if_index, entry->if_name);
  return names;
}

// The map of flows, for as long as it is looked at.
struct OpenFlows {
  ebpf::SharedArray<flow_set> entries;
  ebpf::SharedArray<flow_tags> tags;
  ebpf::FlowTable table;
};

template <typename Table>
Result<ebpf::SharedArray<typename Table::Value>> OpenArray(const ebpf::Pins& pins,
                                                           const fairlead_config& config, bool writable) {
  const Fd fd = pins.OpenMap(Table::kName);
  if (!fd) return FailErrno(errno, "{}", pins.MapPath(Table::kName));
  auto info = ebpf::GetMapInfo(fd.Get());
  if (!info) return std::unexpected(info.error());
  if (info->value_size != sizeof(typename Table::Value) || info->max_entries != config.flow_mask + 1) {
    return Fail(ErrorKind::kUnavailable, "{}: not the table of the programs in use; is it being replaced?",
                Table::kName);
  }
  return ebpf::SharedArray<typename Table::Value>::Map(fd.Get(), Table::kName, info->max_entries, writable);
}

Result<OpenFlows> OpenTable(const ebpf::Pins& pins, const fairlead_config& config, bool writable) {
  OpenFlows open;
  auto entries = OpenArray<conntrack_table>(pins, config, writable);
  if (!entries) return std::unexpected(entries.error());
  auto tags = OpenArray<flow_tags_table>(pins, config, writable);
  if (!tags) return std::unexpected(tags.error());
  open.entries = std::move(*entries);
  open.tags = std::move(*tags);
  ebpf::FlowKeys keys;
  std::copy(std::begin(config.flow_keys), std::end(config.flow_keys), keys.begin());
  open.table = ebpf::FlowTable({open.entries.elements(), open.tags.elements()}, keys);
  return open;
}

Result<FlowContext> ReadContext(const Pinned& pinned, const fairlead_config& config) {
  FlowContext context;
  context.config = config;
  auto clock = ebpf::Clock::Open();
  if (!clock) return std::unexpected(clock.error());
  auto now = clock->NowTick(config.tick_shift);
  if (!now) return std::unexpected(now.error());
  context.now_tick = *now;
  auto services = pinned.ReadServices();
  if (!services) return std::unexpected(services.error());
  context.services = std::move(*services);
  context.devices = DeviceNames();
  return context;
}

Result<std::optional<EndpointFilter>> ParseIfAny(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto parsed = ParseEndpointFilter(text);
  if (!parsed) return std::unexpected(std::move(parsed.error()).In(option));
  return *parsed;
}

Result<void> ParseService(const std::string& text, FlowFilter& filter) {
  if (text.empty()) return {};
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size() ||
      text.find('/', slash + 1) != std::string::npos) {
    return Fail(ErrorKind::kInvalid, "--service \"{}\": expected NAMESPACE/NAME", text);
  }
  filter.ns = text.substr(0, slash);
  filter.name = text.substr(slash + 1);
  return {};
}

Result<void> ParseState(const std::string& text, FlowFilter& filter) {
  std::string known;
  for (uint8_t state = FLOW_ESTABLISHED; state < FLOW_STATES; ++state) {
    if (text == ebpf::FlowStateName(state)) filter.state = text;
    known += (known.empty() ? "" : ", ") + std::string(ebpf::FlowStateName(state));
  }
  if (filter.state == text) return {};
  return Fail(ErrorKind::kInvalid, "--state \"{}\": expected one of {}", text, known);
}

Result<void> ParseProtocol(const std::string& text, FlowFilter& filter) {
  if (text == "tcp") filter.protocol = kube::Protocol::kTcp;
  if (text == "udp") filter.protocol = kube::Protocol::kUdp;
  if (text.empty() || filter.protocol) return {};
  return Fail(ErrorKind::kInvalid, "--proto \"{}\": expected tcp or udp", text);
}

Result<std::string> DeleteClients(int fd, const std::vector<RememberedClient>& clients) {
  ebpf::KernelTable<affinity_table> table(fd);
  for (const RememberedClient& client : clients) {
    if (auto deleted = table.Delete(client.key); !deleted) return std::unexpected(deleted.error());
  }
  return fmt::format("{} remembered clients deleted\n", clients.size());
}

void AddCommonOptions(CLI::App& command, FlowWords& words) {
  command.add_option("ACTION", words.action, "")->option_text("list|count|delete");
  command.add_option("--service", words.service, "only of this Service: NAMESPACE/NAME");
  command.add_option("--backend", words.backend, "only with this backend: ADDRESS[:PORT] or CIDR");
  command.add_flag("--all", words.all, "delete: without a filter, everything");
}

}  // namespace

void AddConntrackOptions(CLI::App& command, FlowWords& words) {
  AddCommonOptions(command, words);
  command.add_option("--src", words.src, "only of this client: ADDRESS[:PORT] or CIDR");
  command.add_option("--dst", words.dst, "only to this frontend: ADDRESS[:PORT] or CIDR");
  command.add_option("--state", words.state, "only in this state, as the list shows it");
  command.add_option("--proto", words.protocol, "")->option_text("tcp|udp");
}

void AddAffinityOptions(CLI::App& command, FlowWords& words) {
  AddCommonOptions(command, words);
  command.add_option("--src", words.src, "only this client: ADDRESS or CIDR");
}

Result<FlowRequest> ParseFlowRequest(const FlowWords& words) {
  FlowRequest request;
  const auto* action = std::find_if(std::begin(kActions), std::end(kActions),
                                    [&](const auto& known) { return known.first == words.action; });
  if (action == std::end(kActions))
    return Fail(ErrorKind::kInvalid, "\"{}\": expected list, count or delete", words.action);
  request.action = action->second;
  FlowFilter& filter = request.filter;
  const struct {
    const char* option;
    const std::string& text;
    std::optional<EndpointFilter>& into;
  } endpoints[] = {{"--src", words.src, filter.src},
                   {"--dst", words.dst, filter.dst},
                   {"--backend", words.backend, filter.backend}};
  for (const auto& endpoint : endpoints) {
    auto parsed = ParseIfAny(endpoint.option, endpoint.text);
    if (!parsed) return std::unexpected(parsed.error());
    endpoint.into = *parsed;
  }
  if (auto service = ParseService(words.service, filter); !service) return std::unexpected(service.error());
  if (auto state = ParseState(words.state, filter); !state) return std::unexpected(state.error());
  if (auto protocol = ParseProtocol(words.protocol, filter); !protocol)
    return std::unexpected(protocol.error());
  if (request.action == FlowAction::kDelete && filter.IsEmpty() && !words.all)
    return Fail(ErrorKind::kInvalid, "delete without a filter: expected one, or --all");
  return request;
}

Result<std::string> Conntrack(const Pinned& pinned, const std::string& bpffs_dir, const FlowRequest& request,
                              Format format) {
  const ebpf::Pins pins(bpffs_dir);
  auto config = ReadLoadedConfig(pins);
  if (!config) return std::unexpected(config.error());
  auto flows = OpenTable(pins, *config, request.action == FlowAction::kDelete);
  if (!flows) return std::unexpected(flows.error());
  auto context = ReadContext(pinned, *config);
  if (!context) return std::unexpected(context.error());
  if (request.action == FlowAction::kDelete)
    return fmt::format("{} flows deleted\n", DeleteFlows(flows->table, *context, request.filter));
  std::vector<Flow> rows = ReadFlows(flows->table, *context, request.filter);
  return request.action == FlowAction::kCount ? RenderFlowCounts(rows, format)
                                              : RenderFlows(std::move(rows), format);
}

Result<std::string> Affinity(const Pinned& pinned, const std::string& bpffs_dir, const FlowRequest& request,
                             Format format) {
  const ebpf::Pins pins(bpffs_dir);
  const Fd table = pins.OpenMap(affinity_table::kName);
  if (!table) return FailErrno(errno, "{}", pins.MapPath(affinity_table::kName));
  auto rows = ReadAffinity(table.Get());
  if (!rows) return std::unexpected(rows.error());
  auto snapshot = pinned.ReadSnapshot();
  if (!snapshot) return std::unexpected(snapshot.error());
  AffinityContext context;
  context.snapshot = &*snapshot;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  context.now_ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  context.node_netns_cookie = NetnsCookie(socket.Get()).value_or(0);
  std::vector<RememberedClient> clients = MakeClients(*rows, context, request.filter);
  if (request.action == FlowAction::kDelete) return DeleteClients(table.Get(), clients);
  return request.action == FlowAction::kCount ? RenderClientCount(clients, format)
                                              : RenderClients(std::move(clients), format);
}

}  // namespace fairlead::ctl
