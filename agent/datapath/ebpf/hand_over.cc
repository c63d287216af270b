// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/hand_over.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/clock.h"
#include "agent/datapath/ebpf/encode.h"
#include "agent/datapath/ebpf/kernel_grace.h"
#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/program_config.h"
#include "agent/datapath/ebpf/table_set.h"
#include "agent/datapath/ebpf/writer.h"

namespace fairlead::ebpf {

namespace {

// Nothing where the tables are of another schema.
std::optional<schema> ReadSchema(const Pins& pins) {
  const Fd pinned = pins.OpenMap(schema_table::kName);
  auto info = pinned ? GetMapInfo(pinned.Get()) : Fail(ErrorKind::kNotFound, "no pin");
  schema found{};
  uint32_t zero = 0;
  if (!info || info->value_size != sizeof(found)) return std::nullopt;
  if (bpf_map_lookup_elem(pinned.Get(), &zero, &found) != 0) return std::nullopt;
  if (found.version != FAIRLEAD_SCHEMA_VERSION) return std::nullopt;
  return found;
}

// What TableSet maps.
constexpr std::string_view kTables[] = {
    frontends_table::kName,     backends_table::kName,        rings_table::kName,
    service_cidrs_table::kName, service_traffic_table::kName, backend_traffic_table::kName,
    conntrack_table::kName,     flow_tags_table::kName,       destinations_table::kName,
    nat_ports_table::kName,     pod_cidrs_table::kName,       services_table::kName,
    source_ranges_table::kName, devices_table::kName};

Result<void> OpenTables(const Pins& pins, const schema& schema, TableSet& tables) {
  for (std::string_view name : kTables) {
    Fd table = pins.OpenMap(name);
    if (!table) return FailErrno(errno, "{}", pins.MapPath(name));
    tables.fds.emplace(name, std::move(table));
  }
  return tables.Map(schema);
}

HandedFlow::End At(const ip_addr& address, __be16 port) {
  return {Address{address}, PortFromWire(port)};
}

// `entry` is of either direction.
HandedFlow FlowOf(const flow& entry) {
  HandedFlow handed;
  handed.protocol = static_cast<plan::Protocol>(entry.key.proto);
  const HandedFlow::End came_from = At(entry.key.src, entry.key.sport),
                        came_to = At(entry.key.dst, entry.key.dport);
  const HandedFlow::End goes_from = At(entry.to_src, entry.to_sport),
                        goes_to = At(entry.to_dst, entry.to_dport);
  if (entry.flags & FLOW_REPLY) {
    handed = {handed.protocol, goes_to, goes_from, came_to, came_from};
  } else {
    handed = {handed.protocol, came_from, came_to, goes_from, goes_to};
  }
  handed.answered = entry.state != FLOW_SYN && entry.state != FLOW_UNREPLIED;
  handed.half_closed = entry.state == FLOW_HALF_CLOSED;
  return handed;
}

// Both directions' ends; a reset alone ends nothing, since anybody can forge one.
bool IsClosed(const flow& entry) {
  constexpr uint8_t kEnds = FLOW_FIN_CLIENT | FLOW_FIN_BACKEND;
  return entry.state == FLOW_CLOSED && (entry.flags & kEnds) == kEnds;
}

// Ticks until the flow is over; 0: it is. `mate`, its other half, may have seen a packet later.
uint32_t TicksLeft(const flow& entry, const std::optional<FlowTable::Entry>& mate,
                   const fairlead_config& config, uint32_t tick) {
  if (entry.state >= FLOW_STATES) return 0;
  auto idle = static_cast<int32_t>(tick - entry.last_seen);
  if (mate) idle = std::min(idle, static_cast<int32_t>(tick - mate->value.last_seen));
  const uint32_t timeout = config.flow_timeout[entry.state];
  return timeout - std::min(static_cast<uint32_t>(std::max(idle, 0)), timeout);
}

}  // namespace

std::vector<HandedFlow> ReadFlows(const FlowTable& table, const fairlead_config& config, uint32_t tick,
                                  size_t& tunnelled) {
  std::vector<HandedFlow> flows;
  tunnelled = 0;
  for (size_t set = 0; set < table.sets(); ++set) {
    for (unsigned used = table.Used(set), way = 0; used != 0; used >>= 1, ++way) {
      if (used % 2 == 0) continue;
      const auto entry = table.Read({set, way});
      if (!entry || entry->value.state == FLOW_FREE || IsClosed(entry->value)) continue;
      const flow& value = entry->value;
      // Once a flow: by its first direction, or by the other where that is lost.
      const auto mate = table.Mate(value);
      if ((value.flags & FLOW_REPLY) && mate) continue;
      const uint64_t left = TicksLeft(value, mate, config, tick);
      if (left == 0) continue;
      if (value.flags & FLOW_DSR) {
        ++tunnelled;
        continue;
      }
      flows.push_back(FlowOf(value));
      flows.back().left = std::chrono::seconds(left * config.tick_ms / 1000 + 1);
    }
  }
  return flows;
}

Result<std::vector<HandedFlow>> StopBeginning(const std::string& bpffs_dir,
                                              const ConntrackOptions& conntrack) {
  if (::access(bpffs_dir.c_str(), F_OK) != 0) return std::vector<HandedFlow>();
  const Pins pins(bpffs_dir);
  auto lock = pins.Lock();
  if (!lock) return std::unexpected(lock.error());
  const auto schema = ReadSchema(pins);
  if (!schema) {
    spdlog::warn("{}: tables of another schema, or not whole: connections of the packet path end",
                 pins.dir());
    return std::vector<HandedFlow>();
  }
  auto clock = Clock::Open();
  if (!clock) return std::unexpected(clock.error());
  TableSet tables;
  if (auto opened = OpenTables(pins, *schema, tables); !opened) return std::unexpected(opened.error());

  auto grace = KernelGrace::Create();
  if (!grace) return std::unexpected(grace.error());
  Reclaimer reclaimer(**grace);
  Writer writer(tables.tables(), reclaimer);
  if (auto restored = writer.Restore(); !restored) return std::unexpected(restored.error());
  // First: an address without a Service would be one that nobody has, and dropped.
  if (auto applied = writer.ApplyNode({}); !applied) return std::unexpected(applied.error());
  if (auto pruned = writer.Prune(); !pruned) return std::unexpected(pruned.error());
  (*grace)->Wait();  // for programs that still saw a Service
  const fairlead_config config = ProgramConfig(*schema, {0, clock->jiffies_per_s()}, conntrack, false, false);
  const auto tick = clock->NowTick(config.tick_shift);
  if (!tick) return std::unexpected(tick.error());
  size_t tunnelled = 0;
  auto flows =
      ReadFlows(FlowTable(tables.tables().conntrack, tables.tables().flow_keys), config, *tick, tunnelled);
  if (tunnelled > 0) spdlog::warn("{} connections in tunnels (DSR) end: no other mode has them", tunnelled);
  return flows;
}

}  // namespace fairlead::ebpf
