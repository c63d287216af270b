// SPDX-License-Identifier: Apache-2.0
// When passes over nf_conntrack are due.
#include "agent/datapath/netfilter/pass_schedule.h"

#include <gtest/gtest.h>

namespace fairlead::netfilter {
namespace {

using namespace std::chrono_literals;

class PassScheduleTest : public testing::Test {
 protected:
  void PassAt(PassSchedule::TimePoint at, PassSchedule::Duration cost = 0ms) {
    ASSERT_TRUE(schedule_.Due(at));
    schedule_.Began(at);
    schedule_.Ended(at + cost, cost);
  }

  const PassSchedule::TimePoint start_{1000s};
  PassSchedule schedule_;
};

TEST_F(PassScheduleTest, NothingIsDueBeforeAChange) {
  EXPECT_FALSE(schedule_.Due(start_ + 1h));
}

TEST_F(PassScheduleTest, AChangeIsLookedAfterAtOnceAndOnceMoreWhenAllItsPacketsHaveArrived) {
  schedule_.Changed(start_);
  PassAt(start_);
  EXPECT_EQ(schedule_.due(), start_ + 10s);
  PassAt(start_ + 10s);
  EXPECT_EQ(schedule_.due(), start_ + 70s);
}

TEST_F(PassScheduleTest, NowAndThenWithoutAnyChange) {
  schedule_.Changed(start_);
  PassAt(start_);
  PassAt(start_ + 10s);
  PassAt(start_ + 70s);
  EXPECT_EQ(schedule_.due(), start_ + 130s);
}

TEST_F(PassScheduleTest, AChangeDuringAPassIsLookedAfterByTheNext) {
  schedule_.Changed(start_);
  schedule_.Began(start_);
  schedule_.Changed(start_ + 1ms);
  schedule_.Ended(start_ + 2ms, 1ms);
  EXPECT_EQ(schedule_.due(), start_ + 22ms);
}

TEST_F(PassScheduleTest, PassesAfterAStreamOfChangesTakeATwentiethOfTheTime) {
  schedule_.Changed(start_);
  PassAt(start_, 500ms);
  schedule_.Changed(start_ + 501ms);
  EXPECT_EQ(schedule_.due(), start_ + 10500ms);
}

TEST_F(PassScheduleTest, DearPassesAreRareWithoutChanges) {
  schedule_.Changed(start_);
  PassAt(start_);
  PassAt(start_ + 10s, 500ms);
  EXPECT_EQ(schedule_.due(), start_ + 10500ms + 200s);
}

TEST_F(PassScheduleTest, AFailureIsTriedAgainLaterAndLater) {
  schedule_.Changed(start_);
  for (const auto delay : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    const auto now = schedule_.due();
    schedule_.Began(now);
    schedule_.Failed(now);
    EXPECT_EQ(schedule_.due(), now + delay);
  }
}

}  // namespace
}  // namespace fairlead::netfilter
