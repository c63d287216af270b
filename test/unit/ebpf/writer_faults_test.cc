// SPDX-License-Identifier: Apache-2.0
// Writes that fail now and then: the caller tries again, and the end is the same.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/rig.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::Backends;
using test::PortOf;

// A random service port among a few, always valid.
plan::Change RandomChange(std::minstd_rand& random) {
  auto n = static_cast<uint16_t>(random() % 8);
  PortOf port(fmt::format("shop/s{}", n));
  if (n % 3 == 0) port.Udp();
  port.ClusterIp(fmt::format("172.30.0.{}", 10 + n), 80);
  if (random() % 5 == 0) return Gone(port);
  if (random() % 2 == 0) port.NodePort(static_cast<uint16_t>(30000 + n));
  port.On(Backends(static_cast<uint32_t>(random() % 6), static_cast<uint32_t>(random() % 4)));
  if (random() % 3 == 0) port.LocalOn({"10.200.0.1:8080"}).ExternalLocal();
  if (random() % 3 == 0) port.Affinity(static_cast<uint32_t>(1 + random() % 100));
  if (random() % 4 == 0) port.Maglev();
  if (random() % 2 == 0) {
    port.LoadBalancer(fmt::format("198.51.100.{}", n), 80);
    if (random() % 2 == 0)
      port.Ranges({"203.0.113.0/24", random() % 2 == 0 ? "198.18.0.0/15" : "192.0.2.0/24"});
  }
  return port;
}

class FaultsTest : public testing::TestWithParam<unsigned> {};

TEST_P(FaultsTest, WithRetriesTheTablesComeToWhereTheyWouldHaveWithoutFaults) {
  std::minstd_rand random(GetParam());
  MemoryTables memory(test::SmallCapacities());
  FaultyTable<services_table> services(memory.services, 20, GetParam());
  FaultyTable<source_ranges_table> source_ranges(memory.source_ranges, 20, GetParam() + 1);
  Tables tables = memory.View();
  tables.services = &services;
  tables.source_ranges = &source_ranges;
  ManualGrace grace;
  Reclaimer reclaimer(grace);
  Writer writer(tables, reclaimer);

  std::map<plan::ServicePortKey, plan::Change> wanted;
  size_t refused = 0;
  std::vector<plan::Change> pending;
  for (int round = 0; round < 300; ++round) {
    std::map<plan::ServicePortKey, plan::Change> batch;
    for (const auto& change : pending) batch[change.key] = change;
    for (int i = 0; i < 3; ++i) {
      plan::Change change = RandomChange(random);
      wanted[change.key] = batch[change.key] = change;
    }
    std::vector<plan::Change> changes;
    for (auto& [key, change] : batch) changes.push_back(change);
    pending.clear();
    for (auto& failure : writer.Apply(changes)) pending.push_back(failure.change);
    refused += pending.size();
    reclaimer.Poll();
  }
  for (int i = 0; i < 100 && !pending.empty(); ++i) {
    auto changes = std::exchange(pending, {});
    for (auto& failure : writer.Apply(changes)) pending.push_back(failure.change);
  }
  EXPECT_TRUE(pending.empty());
  EXPECT_GT(refused, 20U) << "no fault was met";
  for (int i = 0; i < 1000 && reclaimer.Poll(); ++i) {
  }

  test::Rig sound;
  for (auto& [key, change] : wanted) sound.Apply({change});
  sound.Settle();
  EXPECT_EQ(test::Dump(memory.View()), test::Dump(sound.tables()));
  std::string usage;
  for (const auto& use : writer.Usages()) usage += fmt::format("{} {}, ", use.table, use.used);
  EXPECT_EQ(usage, sound.Usage());
  EXPECT_EQ(memory.source_ranges.size(), sound.memory.source_ranges.size());
  EXPECT_EQ(memory.services.size(), sound.memory.services.size());
}

INSTANTIATE_TEST_SUITE_P(Seeds, FaultsTest, testing::Range(1U, 11U));

}  // namespace
}  // namespace fairlead::ebpf
