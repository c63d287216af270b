// SPDX-License-Identifier: Apache-2.0
// The flow table's protocol as user space follows it, alone and against others that write at the same time.
#include "agent/datapath/ebpf/flow_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "test/support/ebpf/flows.h"

namespace fairlead::ebpf {
namespace {

using test::FlowMaker;
using test::FlowOf;
using test::kFlowKeys;

class FlowTableTest : public testing::Test {
 protected:
  FlowTable::Entry Find(const flow_key& key) {
    auto entry = table_.Find(key);
    EXPECT_TRUE(entry.has_value());
    return entry.value_or(FlowTable::Entry{});
  }
  flow& At(const FlowTable::Entry& entry) { return sets_[entry.place.set].entry[entry.place.way]; }

  test::FlowMemory sets_{64};
  FlowTable table_{sets_, kFlowKeys};
  FlowMaker maker_{sets_, kFlowKeys};
  FlowOf web_{"203.0.113.2:40000", "198.51.100.4:80"};
};

TEST_F(FlowTableTest, AFlowIsFoundByTheKeyOfEitherDirection) {
  web_.SeenAs("192.168.99.11:50000").LastSeen(7);
  maker_.Make(web_);
  EXPECT_EQ(Find(web_.Forward().key).value.last_seen, 7u);
  EXPECT_EQ(Find(FlowTable::MateKey(web_.Forward())).value.flags & FLOW_REPLY, FLOW_REPLY);
  EXPECT_FALSE(table_.Find(FlowOf("203.0.113.2:40001", "198.51.100.4:80").Forward().key).has_value());
}

TEST_F(FlowTableTest, ManyFlowsAreAllFoundInTheirTwoSets) {
  std::vector<FlowOf> flows;
  for (int i = 0; i < 150; ++i) {
    auto& made = flows.emplace_back("[2001:db8::2]:" + std::to_string(1024 + i), "[2001:db8::4]:80");
    made.To("[fd00::1]:8080");
    maker_.Make(made);
  }
  for (const FlowOf& made : flows) {
    EXPECT_TRUE(table_.Find(made.Forward().key).has_value());
    EXPECT_TRUE(table_.Find(made.Reply().key).has_value());
  }
}

TEST_F(FlowTableTest, EachHalfIsTheOthersMate) {
  maker_.Make(web_);
  auto forward = Find(web_.Forward().key);
  auto reply = table_.Mate(forward.value);
  ASSERT_TRUE(reply.has_value());
  auto back = table_.Mate(reply->value);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->place, forward.place);
}

// A UDP flow that was given another backend leaves the half for answers of the old one behind.
TEST_F(FlowTableTest, AHalfThatTheOtherDoesNotNameHasNoMate) {
  FlowOf before = FlowOf(web_).To("10.180.1.12:8080");
  ASSERT_TRUE(maker_.Make(web_.Forward()));
  ASSERT_TRUE(maker_.Make(before.Reply()));
  EXPECT_FALSE(table_.Mate(Find(before.Reply().key).value).has_value());
}

TEST_F(FlowTableTest, DevicesAreThoseThatPacketsAreSentOutBy) {
  maker_.Make(FlowOf(web_).Out(2, EGRESS_NEIGH));
  maker_.Make(FlowOf("203.0.113.2:1", "198.51.100.4:80").Out(3, EGRESS_DEVICE));
  maker_.Make(FlowOf("203.0.113.2:2", "198.51.100.4:80").Out(4, EGRESS_PEER));
  maker_.Make(FlowOf("203.0.113.2:3", "198.51.100.4:80").Out(5, EGRESS_STACK));
  maker_.Make(FlowOf("203.0.113.2:4", "198.51.100.4:80").Out(6, EGRESS_UNKNOWN));
  maker_.Make(FlowOf("203.0.113.2:5", "198.51.100.4:80").Out(7, EGRESS_NEIGH));
  ASSERT_TRUE(table_.Free(Find(FlowOf("203.0.113.2:5", "198.51.100.4:80").Forward().key), false));
  EXPECT_EQ(table_.Devices(), (std::set<uint32_t>{2, 3, 4}));
}

TEST_F(FlowTableTest, AnEntryBeingWrittenIsNotRead) {
  maker_.Make(web_);
  auto entry = Find(web_.Forward().key);
  At(entry).sequence += 1;
  EXPECT_TRUE(table_.Look(entry.place).Busy());
  EXPECT_FALSE(table_.Read(entry.place).has_value());
  EXPECT_FALSE(table_.Find(web_.Forward().key).has_value());
}

TEST_F(FlowTableTest, AFreedEntryIsGoneAndItsPlaceServesAgain) {
  maker_.Make(web_);
  auto entry = Find(web_.Forward().key);
  EXPECT_TRUE(table_.Free(entry, false));
  EXPECT_FALSE(table_.Find(web_.Forward().key).has_value());
  EXPECT_EQ(At(entry).state, FLOW_FREE);
  EXPECT_TRUE(table_.Find(web_.Reply().key).has_value());
  ASSERT_TRUE(maker_.Make(web_.Forward()));
  EXPECT_EQ(Find(web_.Forward().key).place, entry.place);
}

TEST_F(FlowTableTest, AnEntryThatIsNoLongerTheOneReadIsNotFreed) {
  maker_.Make(web_);
  auto entry = Find(web_.Forward().key);
  ASSERT_TRUE(table_.Free(entry, false));
  ASSERT_TRUE(maker_.Make(web_.Forward()));
  EXPECT_FALSE(table_.Free(entry, false));
  EXPECT_TRUE(table_.Find(web_.Forward().key).has_value());
}

TEST_F(FlowTableTest, AnEntryThatGotAPacketSinceIsFreedOnlyIfThatDoesNotMatter) {
  maker_.Make(web_.LastSeen(1));
  auto entry = Find(web_.Forward().key);
  FlowMaker::Touch(sets_[entry.place.set], entry.place.way, 2);
  EXPECT_FALSE(table_.Free(entry, true));
  entry = Find(web_.Forward().key);
  FlowMaker::Touch(sets_[entry.place.set], entry.place.way, 3);
  EXPECT_TRUE(table_.Free(entry, false));
}

TEST_F(FlowTableTest, AnEntryBeingWrittenIsNotFreed) {
  maker_.Make(web_);
  auto entry = Find(web_.Forward().key);
  At(entry).sequence += 1;
  EXPECT_FALSE(table_.Free(entry, false));
  EXPECT_EQ(At(entry).sequence, entry.value.sequence + 1);
  EXPECT_NE(table_.Used(entry.place.set), 0u);
}

// What an entry says must be of its key, whatever becomes of the place while it is read.
TEST_F(FlowTableTest, AReadIsWholeWhileOthersMakeAndFree) {
  constexpr int kFlows = 200;
  auto made = [](int i) {
    FlowOf flow("203.0.113.2:" + std::to_string(20000 + i), "198.51.100.4:80");
    flow.To("10.180.1.11:" + std::to_string(20000 + i)).Ids(static_cast<uint32_t>(20000 + i), 1);
    return flow.Forward();
  };
  test::FlowMemory few(8);
  FlowTable table(few, kFlowKeys);
  std::vector<flow> flows;
  for (int i = 0; i < kFlows; ++i) flows.push_back(made(i));
  std::atomic<bool> stop = false;
  std::atomic<int> freed = 0;
  auto write = [&](unsigned seed) {
    std::minstd_rand random(seed);
    FlowMaker maker(few, kFlowKeys);
    while (!stop) {
      const flow& one = flows[random() % kFlows];
      if (auto there = table.Find(one.key)) {
        freed += table.Free(*there, false);
      } else {
        (void)maker.Make(one);
      }
    }
  };
  std::thread first(write, 1), second(write, 2);
  int whole = 0, torn = 0;
  for (int reads = 0; reads < 2000000 && (whole < 20000 || freed < 5000); ++reads) {
    auto entry =
        table.Read({static_cast<size_t>(reads) % few.size(), static_cast<size_t>(reads) / 8 % FLOW_WAYS});
    if (!entry) continue;
    const bool same = entry->value.key.sport == entry->value.to_dport &&
                      entry->value.service_id == __builtin_bswap16(entry->value.key.sport);
    ++(same ? whole : torn);
  }
  stop = true;
  first.join();
  second.join();
  EXPECT_EQ(torn, 0);
  EXPECT_GT(whole, 0);
  EXPECT_GT(freed, 0);
}

}  // namespace
}  // namespace fairlead::ebpf
