// SPDX-License-Identifier: Apache-2.0
// The tables in plain memory: for tests, and for --dry-run. And a body that fails now and then, on either.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/table.h"
#include "agent/options.h"

namespace fairlead::ebpf {

template <typename Table>
class MemoryTable : public KeyedTable<Table> {
 public:
  using typename KeyedTable<Table>::Key;
  using typename KeyedTable<Table>::Value;

  explicit MemoryTable(size_t capacity) : capacity_(capacity) {}

  Result<void> Update(const Key& key, const Value& value) override {
    if (rows_.size() >= capacity_ && !rows_.contains(key)) {
      return Fail(ErrorKind::kExhausted, "{}: all {} rows are in use", Table::kName, capacity_);
    }
    rows_[key] = value;
    return {};
  }
  Result<void> Delete(const Key& key) override {
    rows_.erase(key);
    return {};
  }
  Result<void> ForEach(const std::function<void(const Key&, const Value&)>& visit) const override {
    for (const auto& [key, value] : rows_) visit(key, value);
    return {};
  }
  size_t size() const { return rows_.size(); }

 private:
  struct Less {
    bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof(Key)) < 0; }
  };
  size_t capacity_;
  std::map<Key, Value, Less> rows_;
};

// Fails `percent` of the writes before they reach the table under it.
template <typename Table>
class FaultyTable : public KeyedTable<Table> {
 public:
  using typename KeyedTable<Table>::Key;
  using typename KeyedTable<Table>::Value;

  FaultyTable(KeyedTable<Table>& under, unsigned percent, uint32_t seed)
      : under_(under), percent_(percent), random_(seed) {}

  Result<void> Update(const Key& key, const Value& value) override {
    if (Unlucky()) return Fail(ErrorKind::kUnavailable, "{}: injected fault", Table::kName);
    return under_.Update(key, value);
  }
  Result<void> Delete(const Key& key) override {
    if (Unlucky()) return Fail(ErrorKind::kUnavailable, "{}: injected fault", Table::kName);
    return under_.Delete(key);
  }
  Result<void> ForEach(const std::function<void(const Key&, const Value&)>& visit) const override {
    return under_.ForEach(visit);
  }

 private:
  bool Unlucky() { return random_() % 100 < percent_; }
  KeyedTable<Table>& under_;
  unsigned percent_;
  std::minstd_rand random_;
};

// A grace period that is over when the test says so, or at once.
class ManualGrace : public Grace {
 public:
  explicit ManualGrace(bool at_once = true) : at_once_(at_once) {}
  void Start() override { ++started_; }
  bool Done() override { return at_once_ || finished_ >= started_; }
  void Finish() { finished_ = started_; }

 private:
  bool at_once_;
  uint64_t started_ = 0;
  uint64_t finished_ = 0;
};

struct MemoryTables {
  explicit MemoryTables(const Capacities& capacities, uint64_t seed = 1)
      : frontends(SlotsFor(capacities.frontends)),
        backends(capacities.backends),
        rings(capacities.ring_slots / RING_CHUNK_SLOTS),
        service_cidrs(SERVICE_CIDRS_MAX),
        service_traffic(capacities.services + 1),
        backend_traffic(capacities.backends),
        services(capacities.services),
        source_ranges(capacities.source_ranges),
        conntrack(FlowSetsFor(capacities.flows)),
        conntrack_tags(conntrack.size()),
        destinations(DESTINATION_WORDS),
        nat_ports(kNatPortWords),
        pod_cidrs(POD_CIDRS_MAX),
        devices(kDevices),
        hash_seed(seed),
        source_range_capacity(capacities.source_ranges) {}

  Tables View() {
    return {hash_seed,
            frontends,
            backends,
            rings,
            service_cidrs,
            service_traffic,
            backend_traffic,
            &services,
            &source_ranges,
            source_range_capacity,
            {conntrack, conntrack_tags},
            nat_ports,
            pod_cidrs,
            &devices,
            destinations,
            FlowKeys{1, 3, 5, 7, 9, 11}};
  }

  // Slots of the frontend table for a capacity: a power of two, a quarter full at most.
  static size_t SlotsFor(uint32_t frontends) {
    size_t slots = FRONTEND_SLOTS_PER_ENTRY;
    while (slots < size_t{frontends} * FRONTEND_SLOTS_PER_ENTRY) slots *= 2;
    return slots;
  }

  // Sets of the flow table for a capacity: places for the two entries of each flow, rounded up to a power of
  // two. The capacity is the most there may be; a table that is usually half full of it keeps its sets from
  // overflowing. Twice the sets would take 68 MiB instead of 34 for the default of 131,072 flows.
  static size_t FlowSetsFor(uint32_t flows) {
    return std::bit_ceil(std::max<size_t>((size_t{flows} * 2 + FLOW_WAYS - 1) / FLOW_WAYS, 2));
  }

  static constexpr size_t kNatPortWords = 65536 / 64;
  static constexpr size_t kDevices = 4096;

  std::vector<frontend_slot> frontends;
  std::vector<record> backends;
  std::vector<ring_chunk> rings;
  std::vector<service_cidr> service_cidrs;
  std::vector<traffic> service_traffic;
  std::vector<traffic> backend_traffic;
  MemoryTable<services_table> services;
  MemoryTable<source_ranges_table> source_ranges;
  std::vector<flow_set> conntrack;
  std::vector<flow_tags> conntrack_tags;
  std::vector<destination_word> destinations;
  std::vector<nat_port_word> nat_ports;
  std::vector<service_cidr> pod_cidrs;
  MemoryTable<devices_table> devices;
  uint64_t hash_seed;
  uint32_t source_range_capacity;
};

}  // namespace fairlead::ebpf
