// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/reclaim.h"

#include <string>

#include <gtest/gtest.h>

#include "agent/datapath/ebpf/memory_tables.h"

namespace fairlead::ebpf {
namespace {

struct ReclaimerTest : testing::Test {
  ManualGrace grace{false};
  Reclaimer reclaimer{grace};
  std::string freed;

  void Retire(char name) {
    reclaimer.Retire([this, name] { freed += name; });
  }
};

TEST_F(ReclaimerTest, NothingIsFreedBeforeItsGracePeriodIsOver) {
  Retire('a');
  EXPECT_TRUE(reclaimer.Poll());
  EXPECT_TRUE(reclaimer.Poll());
  EXPECT_EQ(freed, "");
  grace.Finish();
  EXPECT_FALSE(reclaimer.Poll());
  EXPECT_EQ(freed, "a");
}

TEST_F(ReclaimerTest, WhatComesDuringAGracePeriodWaitsForTheNext) {
  Retire('a');
  reclaimer.Poll();
  Retire('b');
  grace.Finish();
  EXPECT_TRUE(reclaimer.Poll());
  EXPECT_EQ(freed, "a");
  EXPECT_TRUE(reclaimer.Poll());
  EXPECT_EQ(freed, "a");
  grace.Finish();
  EXPECT_FALSE(reclaimer.Poll());
  EXPECT_EQ(freed, "ab");
}

TEST_F(ReclaimerTest, OneGracePeriodServesAWholeBatchInOrder) {
  for (char name : {'a', 'b', 'c'}) Retire(name);
  reclaimer.Poll();
  grace.Finish();
  reclaimer.Poll();
  EXPECT_EQ(freed, "abc");
}

TEST_F(ReclaimerTest, AThingThatRetiresItselfAgainGetsAnotherGracePeriod) {
  reclaimer.Retire([this] {
    freed += '1';
    Retire('2');
  });
  reclaimer.Poll();
  grace.Finish();
  EXPECT_TRUE(reclaimer.Poll());
  EXPECT_EQ(freed, "1");
  grace.Finish();
  EXPECT_FALSE(reclaimer.Poll());
  EXPECT_EQ(freed, "12");
}

TEST_F(ReclaimerTest, NothingToDoIsSaidSo) {
  EXPECT_FALSE(reclaimer.Poll());
}

}  // namespace
}  // namespace fairlead::ebpf
