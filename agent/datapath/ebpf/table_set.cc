// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/table_set.h"

#include <algorithm>
#include <cstring>

#include "agent/datapath/ebpf/memory_tables.h"
#include "maps/affinity.h"

namespace fairlead::ebpf {

std::map<std::string, uint32_t, std::less<>> TableSizes(const Capacities& capacities) {
  return {
      {frontends_table::kName, static_cast<uint32_t>(MemoryTables::SlotsFor(capacities.frontends))},
      {backends_table::kName, capacities.backends},
      {rings_table::kName, capacities.ring_slots / RING_CHUNK_SLOTS},
      {services_table::kName, capacities.services},
      {service_traffic_table::kName, capacities.services + 1},
      {backend_traffic_table::kName, capacities.backends},
      {affinity_table::kName, capacities.affinity},
      {source_ranges_table::kName, capacities.source_ranges},
      {conntrack_table::kName, static_cast<uint32_t>(MemoryTables::FlowSetsFor(capacities.flows))},
      {flow_tags_table::kName, static_cast<uint32_t>(MemoryTables::FlowSetsFor(capacities.flows))},
  };
}

namespace {

FlowKeys FlowKeysOf(const schema& schema) {
  FlowKeys keys;
  std::copy(std::begin(schema.flow_keys), std::end(schema.flow_keys), keys.begin());
  return keys;
}

}  // namespace

template <typename Table>
Result<void> TableSet::MapOne(SharedArray<typename Table::Value>& array) {
  auto info = GetMapInfo(Of(Table::kName));
  if (!info) return std::unexpected(std::move(info.error()).In(Table::kName));
  auto mapped =
      SharedArray<typename Table::Value>::Map(Of(Table::kName), Table::kName, info->max_entries, true);
  if (!mapped) return std::unexpected(mapped.error());
  array = std::move(*mapped);
  return {};
}

Result<void> TableSet::Map(const schema& schema) {
  Result<void> outcome;
  auto map = [&]<typename Table>(SharedArray<typename Table::Value>& array) {
    if (outcome) outcome = MapOne<Table>(array);
  };
  map.operator()<frontends_table>(frontends_);
  map.operator()<backends_table>(backends_);
  map.operator()<rings_table>(rings_);
  map.operator()<service_cidrs_table>(service_cidrs_);
  map.operator()<service_traffic_table>(service_traffic_);
  map.operator()<backend_traffic_table>(backend_traffic_);
  map.operator()<conntrack_table>(conntrack_);
  map.operator()<flow_tags_table>(flow_tags_);
  map.operator()<destinations_table>(destinations_);
  map.operator()<nat_ports_table>(nat_ports_);
  map.operator()<pod_cidrs_table>(pod_cidrs_);
  if (!outcome) return outcome;
  services_ = KernelTable<services_table>(Of(services_table::kName));
  source_ranges_ = KernelTable<source_ranges_table>(Of(source_ranges_table::kName));
  devices_ = KernelTable<devices_table>(Of(devices_table::kName));
  auto ranges = GetMapInfo(Of(source_ranges_table::kName));
  if (!ranges) return std::unexpected(ranges.error());
  tables_ = {schema.hash_seed,
             frontends_.elements(),
             backends_.elements(),
             rings_.elements(),
             service_cidrs_.elements(),
             service_traffic_.elements(),
             backend_traffic_.elements(),
             &services_,
             &source_ranges_,
             ranges->max_entries,
             {conntrack_.elements(), flow_tags_.elements()},
             nat_ports_.elements(),
             pod_cidrs_.elements(),
             &devices_,
             destinations_.elements(),
             FlowKeysOf(schema)};
  return {};
}

namespace {

struct Place {
  flow* entry = nullptr;  // null: there is none
  uint64_t* tags = nullptr;
  unsigned way = 0;
  bool free = true;
};

// Where this key is, else where it may go.
Place PlaceFor(FlowSets sets, const flow_key& key, uint64_t hash) {
  const auto mask = static_cast<uint32_t>(sets.size() - 1);
  Place place;
  for (uint32_t index : {flow_first_set(hash, mask), flow_second_set(hash, mask)}) {
    auto* tags = reinterpret_cast<uint64_t*>(&sets.tags[index].tags);
    for (unsigned way = 0; way < FLOW_WAYS; ++way) {
      flow& entry = sets.entries[index].entry[way];
      const bool used = (*tags >> (8 * way) & 0xff) != 0;
      if (used && std::memcmp(&entry.key, &key, sizeof(key)) == 0) return {&entry, tags, way, false};
      if (!used && place.entry == nullptr) place = {&entry, tags, way, true};
    }
  }
  return place;
}

// False if there is no place. Nobody else writes `to`.
bool Insert(FlowSets to, const flow& entry, const schema& schema) {
  const uint64_t hash = flow_hash(&entry.key, schema.flow_keys);
  const Place place = PlaceFor(to, entry.key, hash);
  if (place.entry == nullptr) return false;
  flow& there = *place.entry;
  const bool older = static_cast<int32_t>(entry.last_seen - there.last_seen) < 0;
  if (!place.free && older) return true;
  there = entry;
  if (place.free) *place.tags |= uint64_t{flow_tag(hash)} << (8 * place.way);
  return true;
}

}  // namespace

// An entry that is being written while it is read is left out: its flow's other half rebuilds it.
size_t CopyFlows(FlowSets from, FlowSets to, const schema& schema) {
  size_t lost = 0;
  for (size_t set = 0; set < from.size(); ++set) {
    for (unsigned way = 0; way < FLOW_WAYS; ++way) {
      const flow& entry = from.entries[set].entry[way];
      uint32_t sequence = __atomic_load_n(&entry.sequence, __ATOMIC_ACQUIRE);
      flow copy = entry;
      __atomic_thread_fence(__ATOMIC_ACQUIRE);
      bool whole = sequence % 2 == 0 && __atomic_load_n(&entry.sequence, __ATOMIC_RELAXED) == sequence;
      bool used = (from.tags[set].tags >> (8 * way) & 0xff) != 0 && copy.state != FLOW_FREE;
      if (whole && used && !Insert(to, copy, schema)) ++lost;
    }
  }
  return lost;
}

Result<void> CarryOver(const TableSet& from, TableSet& to) {
  auto copy = [](std::span<const traffic> source, std::span<traffic> target) {
    std::copy_n(source.begin(), std::min(source.size(), target.size()), target.begin());
  };
  copy(from.tables().service_traffic, to.tables().service_traffic);
  copy(from.tables().backend_traffic, to.tables().backend_traffic);
  KernelTable<affinity_table> clients(from.Of(affinity_table::kName));
  KernelTable<affinity_table> into(to.Of(affinity_table::kName));
  return clients.ForEach(
      [&](const affinity_key& key, const affinity& value) { (void)into.Update(key, value); });
}

}  // namespace fairlead::ebpf
