// SPDX-License-Identifier: Apache-2.0
// When programs go from devices that are no longer chosen.
#include "agent/datapath/ebpf/departures.h"

#include <gtest/gtest.h>

#include <vector>

namespace fairlead::ebpf {
namespace {

using namespace std::chrono_literals;

class DeparturesTest : public testing::Test {
 protected:
  // Whether these may go at `after` the start, one after the other; nothing else is left over then.
  std::vector<bool> MayGo(std::chrono::milliseconds after, const std::vector<Leftover>& leftovers) {
    const Departures::TimePoint now = start_ + after;
    departures_.Note(leftovers, now);
    std::vector<bool> may;
    for (const Leftover& leftover : leftovers) may.push_back(departures_.MayGo(leftover, now));
    return may;
  }
  bool MayGo(std::chrono::milliseconds after, const Leftover& leftover) {
    return MayGo(after, std::vector{leftover})[0];
  }

  const Leftover uplink_{"tc_uplink", DeviceHook::kIngress, 2, "eth0"};
  const Leftover egress_{"tc_egress", DeviceHook::kEgress, 2, "eth0"};
  const Leftover pod_{"tc_pod", DeviceHook::kIngress, 11, "pod11"};
  const Leftover other_pod_{"tc_pod", DeviceHook::kIngress, 12, "pod12"};
  const Departures::TimePoint start_{1000s};
  std::set<uint32_t> used_;
  int looks_ = 0;
  Departures departures_{"tc_pod",
                         [this] {
                           ++looks_;
                           return used_;
                         },
                         {.uplink = 60s, .between_looks = 5s}};
};

TEST_F(DeparturesTest, AnUplinkKeepsItsProgramsForAMinute) {
  EXPECT_FALSE(MayGo(0s, uplink_));
  EXPECT_EQ(departures_.next(), start_ + 60s);
  EXPECT_FALSE(MayGo(59999ms, uplink_));
  EXPECT_TRUE(MayGo(60s, uplink_));
  EXPECT_EQ(looks_, 0) << "flows do not matter";
}

TEST_F(DeparturesTest, EachProgramHasItsOwnMinute) {
  EXPECT_FALSE(MayGo(0s, uplink_));
  EXPECT_EQ(MayGo(30s, {uplink_, egress_}), (std::vector{false, false}));
  EXPECT_EQ(MayGo(60s, {uplink_, egress_}), (std::vector{true, false}));
  EXPECT_EQ(departures_.next(), start_ + 90s);
}

TEST_F(DeparturesTest, TheMinuteBeginsAnewForAnUplinkThatWasWantedInBetween) {
  EXPECT_FALSE(MayGo(0s, uplink_));
  departures_.Note({}, start_ + 50s);
  EXPECT_EQ(departures_.next(), Departures::TimePoint::max());
  EXPECT_FALSE(MayGo(61s, uplink_));
  EXPECT_TRUE(MayGo(121s, uplink_));
}

TEST_F(DeparturesTest, APodsDeviceGoesAtOnceIfNoFlowLeadsThere) {
  used_ = {12};
  EXPECT_TRUE(MayGo(0s, pod_));
}

TEST_F(DeparturesTest, APodsDeviceStaysWhileAFlowLeadsThere) {
  used_ = {11};
  EXPECT_FALSE(MayGo(0s, pod_));
  EXPECT_FALSE(MayGo(1h, pod_));
  used_ = {};
  EXPECT_TRUE(MayGo(2h, pod_));
}

TEST_F(DeparturesTest, AllProgramsOfAPodsDeviceGoTogether) {
  const Leftover egress{"tc_egress", DeviceHook::kEgress, 11, "pod11"};
  used_ = {11};
  EXPECT_EQ(MayGo(2min, {egress, pod_}), (std::vector{false, false}));
  used_ = {};
  EXPECT_EQ(MayGo(3min, {egress, pod_}), (std::vector{true, true}));
}

TEST_F(DeparturesTest, OneLookAtTheFlowsServesAllDevicesForSomeTime) {
  used_ = {11, 12};
  (void)MayGo(0s, {pod_, other_pod_});
  (void)MayGo(4999ms, {pod_, other_pod_});
  EXPECT_EQ(looks_, 1);
  (void)MayGo(5s, {pod_, other_pod_});
  EXPECT_EQ(looks_, 2);
}

TEST_F(DeparturesTest, ALookFromBeforeTheDeviceWasLeftOverDoesNotCount) {
  EXPECT_TRUE(MayGo(0s, pod_));
  used_ = {12};  // a flow that begins after that look
  EXPECT_FALSE(MayGo(1s, other_pod_));
  EXPECT_EQ(departures_.next(), start_ + 5s);
  EXPECT_FALSE(MayGo(5s, other_pod_));
  EXPECT_EQ(looks_, 2);
}

TEST_F(DeparturesTest, WithoutAPodsDeviceNobodyLooksAtTheFlows) {
  departures_.Note({}, start_);
  (void)MayGo(1s, {uplink_, egress_});
  EXPECT_EQ(looks_, 0);
}

}  // namespace
}  // namespace fairlead::ebpf
