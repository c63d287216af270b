// SPDX-License-Identifier: Apache-2.0
// Flows that go on in a table of another size.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "agent/datapath/ebpf/table_set.h"
#include "test/support/ebpf/flows.h"

namespace fairlead::ebpf {
namespace {

using test::FlowMaker;
using test::FlowOf;
using test::kFlowKeys;

class CopyFlowsTest : public testing::Test {
 protected:
  CopyFlowsTest() { std::ranges::copy(kFlowKeys, schema_.flow_keys); }
  size_t Copy() { return CopyFlows(old_, new_, schema_); }
  size_t Entries() const {
    size_t entries = 0;
    for (size_t set = 0; set < new_.size(); ++set) entries += std::popcount(copied_.Used(set));
    return entries;
  }
  static FlowOf Web(int port) { return {"203.0.113.2:" + std::to_string(port), "198.51.100.4:80"}; }
  static flow& At(test::FlowMemory& sets, const flow_key& key) {
    const auto place = FlowTable(sets, kFlowKeys).Find(key).value().place;
    return sets[place.set].entry[place.way];
  }

  schema schema_{};
  test::FlowMemory old_{64}, new_{128};
  FlowMaker maker_{old_, kFlowKeys};
  FlowTable copied_{new_, kFlowKeys};
};

TEST_F(CopyFlowsTest, BothHalvesAreFoundInTheNewTable) {
  for (int port = 1024; port < 1124; ++port) maker_.Make(Web(port).LastSeen(7));
  EXPECT_EQ(Copy(), 0u);
  for (int port = 1024; port < 1124; ++port) {
    auto forward = copied_.Find(Web(port).Forward().key);
    ASSERT_TRUE(forward.has_value());
    EXPECT_EQ(forward->value.last_seen, 7u);
    EXPECT_TRUE(copied_.Mate(forward->value).has_value());
  }
}

TEST_F(CopyFlowsTest, DoneAgainItAddsWhatCameAndTakesWhatChanged) {
  maker_.Make(Web(1).State(FLOW_SYN).LastSeen(7));
  Copy();
  maker_.Make(Web(2));
  At(old_, Web(1).Forward().key).state = FLOW_ESTABLISHED;
  At(old_, Web(1).Forward().key).last_seen = 8;
  EXPECT_EQ(Copy(), 0u);
  EXPECT_EQ(Entries(), 4u) << "no key twice";
  EXPECT_EQ(copied_.Find(Web(1).Forward().key).value().value.state, FLOW_ESTABLISHED);
  EXPECT_TRUE(copied_.Find(Web(2).Reply().key).has_value());
}

TEST_F(CopyFlowsTest, AnEntrySeenLaterInTheNewTableStands) {
  maker_.Make(Web(1).State(FLOW_SYN).LastSeen(0xffffffff));
  Copy();
  At(new_, Web(1).Forward().key).state = FLOW_ESTABLISHED;
  At(new_, Web(1).Forward().key).last_seen = 2;  // ticks wrap
  Copy();
  EXPECT_EQ(copied_.Find(Web(1).Forward().key).value().value.state, FLOW_ESTABLISHED);
}

TEST_F(CopyFlowsTest, WhatHasNoPlaceInASmallerTableIsCounted) {
  new_ = test::FlowMemory(1);
  copied_ = FlowTable(new_, kFlowKeys);
  for (int port = 1; port <= 10; ++port) maker_.Make(Web(port));
  EXPECT_EQ(Copy(), 20u - FLOW_WAYS);
  EXPECT_EQ(Entries(), size_t{FLOW_WAYS});
}

TEST_F(CopyFlowsTest, AnEntryBeingWrittenIsLeftToItsOtherHalf) {
  maker_.Make(Web(1));
  At(old_, Web(1).Forward().key).sequence += 1;
  EXPECT_EQ(Copy(), 0u);
  EXPECT_FALSE(copied_.Find(Web(1).Forward().key).has_value());
  EXPECT_TRUE(copied_.Find(Web(1).Reply().key).has_value());
}

}  // namespace
}  // namespace fairlead::ebpf
