// SPDX-License-Identifier: Apache-2.0
// A writer over tables in memory:
//
//   Rig rig;
//   rig.Apply({PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080"})});
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/ebpf/memory_tables.h"
#include "agent/datapath/ebpf/writer.h"
#include "agent/plan/plan.h"

namespace fairlead::test {

// Big enough for every test that is not about being full.
Capacities SmallCapacities();

// Steps of the writer from outside: a keyed table that calls before each write, as Store::on_store does.
template <typename Table>
class WatchedTable : public ebpf::KeyedTable<Table> {
 public:
  using typename ebpf::KeyedTable<Table>::Key;
  using typename ebpf::KeyedTable<Table>::Value;
  explicit WatchedTable(ebpf::KeyedTable<Table>& under) : under_(under) {}

  Result<void> Update(const Key& key, const Value& value) override {
    if (on_write) on_write();
    return under_.Update(key, value);
  }
  Result<void> Delete(const Key& key) override {
    if (on_write) on_write();
    return under_.Delete(key);
  }
  Result<void> ForEach(const std::function<void(const Key&, const Value&)>& visit) const override {
    return under_.ForEach(visit);
  }
  std::function<void()> on_write;

 private:
  ebpf::KeyedTable<Table>& under_;
};

// The tables, and the writer of the present agent run.
class Rig {
 public:
  explicit Rig(const Capacities& capacities = SmallCapacities());

  // Expects no failure.
  void Apply(std::vector<plan::Change> changes);
  // The failures' messages.
  std::vector<std::string> Try(std::vector<plan::Change> changes);
  // Until nothing waits for a grace period.
  void Settle();
  // A new agent run over the same memory; what Restore found wrong.
  std::vector<std::string> Restart();

  // `step` runs before each store and each write to a keyed table; it may throw. Stays over Restart.
  void OnStep(std::function<void()> step);

  // Bytes that `work` stores.
  uint64_t Cost(const std::function<void()>& work);

  ebpf::Tables tables() { return memory.View(); }
  std::map<std::string, std::string> Entries();
  std::string Entry(const plan::Frontend& frontend, frontend_scope scope = SCOPE_CLUSTER);
  // "frontends 2, backends 4, ...": rows in use.
  std::string Usage() const;
  // By the reader; 0 if the address leads nowhere.
  uint32_t ServiceId(const plan::Frontend& frontend);
  // Sorted ids of what the run offers.
  std::vector<uint32_t> BackendIds(const plan::Frontend& frontend);

  ebpf::MemoryTables memory;
  ebpf::ManualGrace grace;
  std::unique_ptr<ebpf::Reclaimer> reclaimer;
  std::unique_ptr<ebpf::Writer> writer;

 private:
  void NewWriter();

  WatchedTable<services_table> services_;
  WatchedTable<source_ranges_table> source_ranges_;
  std::function<void()> step_;
};

plan::Frontend ClusterIpAt(std::string_view address, uint16_t port);
plan::Frontend NodePortAt(uint16_t port);
plan::Frontend LoadBalancerAt(std::string_view address, uint16_t port);

}  // namespace fairlead::test
