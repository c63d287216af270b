// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/program_config.h"

#include <gtest/gtest.h>

#include "agent/datapath/ebpf/memory_tables.h"
#include "fairlead/flags.h"

namespace fairlead::ebpf {
namespace {

fairlead_config ConfigAt(uint32_t jiffies_per_s, const ConntrackOptions& conntrack = {}) {
  schema tables{};
  tables.frontend_slots = 1024;
  tables.flow_sets = 64;
  tables.flow_keys[5] = 77;
  return ProgramConfig(tables, {5, jiffies_per_s}, conntrack, false, false);
}

TEST(ProgramConfigTest, ATickIsAboutASecondAtEveryHz) {
  for (uint32_t hz : {100U, 250U, 300U, 1000U, 1024U}) {
    fairlead_config config = ConfigAt(hz);
    EXPECT_GE(config.tick_ms, 500U) << hz;
    EXPECT_LE(config.tick_ms, 1100U) << hz;
    EXPECT_EQ(config.tick_ms, (1000U << config.tick_shift) / hz) << hz;
  }
}

TEST(ProgramConfigTest, ATimeoutIsNeverShorterThanWasAskedFor) {
  ConntrackOptions conntrack;
  conntrack.udp_timeout = std::chrono::milliseconds(1500);
  fairlead_config config = ConfigAt(250, conntrack);  // a tick is 1024 ms
  EXPECT_EQ(config.flow_timeout[FLOW_UNREPLIED], 2U);
  EXPECT_EQ(config.flow_timeout[FLOW_STREAM], 118U) << "120 s, nf_conntrack's default";
  EXPECT_EQ(config.flow_timeout[FLOW_ESTABLISHED], 84375U) << "24 h, kube-proxy's default";
}

TEST(ProgramConfigTest, ATimeoutBeyondTheClockIsItsWholeRange) {
  ConntrackOptions conntrack;
  conntrack.tcp_established_timeout = std::chrono::hours(24 * 365 * 1000);
  EXPECT_EQ(ConfigAt(100, conntrack).flow_timeout[FLOW_ESTABLISHED], uint32_t{INT32_MAX});
}

TEST(ProgramConfigTest, MasksAndKeysAreTheTables) {
  fairlead_config config = ConfigAt(250);
  EXPECT_EQ(config.frontend_mask, 1023U);
  EXPECT_EQ(config.flow_mask, 63U);
  EXPECT_EQ(config.flow_keys[5], 77U);
  EXPECT_EQ(config.node_netns_cookie, 5U);
}

TEST(ProgramConfigTest, TheFlowTableHasRoomForBothEntriesOfEveryFlow) {
  EXPECT_EQ(MemoryTables::FlowSetsFor(131072) * FLOW_WAYS, 2U * 131072);
  EXPECT_EQ(MemoryTables::FlowSetsFor(131073) * FLOW_WAYS, 4U * 131072);
  EXPECT_GE(MemoryTables::FlowSetsFor(0), 1U);
}

}  // namespace
}  // namespace fairlead::ebpf
