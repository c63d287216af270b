// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/steps.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "test/support/objects.h"

namespace fairlead::ipvs {
namespace {

using plan::Protocol;
using test::Addr;

const BackendKey kA{Addr("10.180.0.11"), 8080};
const BackendKey kB{Addr("10.180.1.11"), 8080};

ServerKey Key(Protocol protocol = Protocol::kTcp) {
  return {Addr("172.30.0.10"), 80, protocol};
}

VirtualServer Wanted(Weights backends, Protocol protocol = Protocol::kTcp) {
  return {Key(protocol), {"rr", 0, 0}, std::move(backends), {}};
}

std::string Text(const std::vector<Step>& steps) {
  std::vector<std::string> lines;
  for (const Step& step : steps) lines.push_back(step.ToString());
  return fmt::format("{}", fmt::join(lines, "\n"));
}

std::string StepsOf(const VirtualServer* wanted, const PresentServer* present,
                    Protocol protocol = Protocol::kTcp) {
  return Text(StepsTo(Key(protocol), wanted, present));
}

TEST(StepsTo, ANewServerComesBeforeItsBackends) {
  const VirtualServer wanted = Wanted({{kA, 1}, {kB, 2}});
  EXPECT_EQ(StepsOf(&wanted, nullptr),
            "add 172.30.0.10:80/TCP rr flags 0x0 timeout 0\n"
            "add 10.180.0.11:8080 of 172.30.0.10:80/TCP weight 1\n"
            "add 10.180.1.11:8080 of 172.30.0.10:80/TCP weight 2");
}

TEST(StepsTo, WhatIsAsWantedCostsNothing) {
  const VirtualServer wanted = Wanted({{kA, 1}});
  const PresentServer present{{"rr", 0, 0}, {{kA, 1}}};
  EXPECT_EQ(StepsOf(&wanted, &present), "");
}

TEST(StepsTo, AnotherSchedulerOrWeightIsSetInPlace) {
  const VirtualServer wanted = Wanted({{kA, 3}});
  const PresentServer present{{"sh", 8, 0}, {{kA, 1}}};
  EXPECT_EQ(StepsOf(&wanted, &present),
            "set 172.30.0.10:80/TCP rr flags 0x0 timeout 0\n"
            "set 10.180.0.11:8080 of 172.30.0.10:80/TCP weight 3");
}

TEST(StepsTo, ATcpBackendThatLeavesGetsWeightZeroAfterTheNewOneIsThere) {
  const VirtualServer wanted = Wanted({{kB, 1}});
  const PresentServer present{{"rr", 0, 0}, {{kA, 1}}};
  EXPECT_EQ(StepsOf(&wanted, &present),
            "add 10.180.1.11:8080 of 172.30.0.10:80/TCP weight 1\n"
            "set 10.180.0.11:8080 of 172.30.0.10:80/TCP weight 0");
}

TEST(StepsTo, ABackendThatComesBackWhileItDrainsGetsItsWeightAgain) {
  const VirtualServer wanted = Wanted({{kA, 1}});
  const PresentServer present{{"rr", 0, 0}, {{kA, 0}}};
  EXPECT_EQ(StepsOf(&wanted, &present), "set 10.180.0.11:8080 of 172.30.0.10:80/TCP weight 1");
}

TEST(StepsTo, AUdpBackendThatIsGoneGoesAtOnceAndOneThatStillServesKeepsItsFlows) {
  VirtualServer wanted = Wanted({}, Protocol::kUdp);
  const PresentServer present{{"rr", 0, 0}, {{kA, 1}, {kB, 1}}};
  wanted.lingering = {kB};
  EXPECT_EQ(StepsOf(&wanted, &present, Protocol::kUdp),
            "remove 10.180.0.11:8080 of 172.30.0.10:80/UDP\n"
            "set 10.180.1.11:8080 of 172.30.0.10:80/UDP weight 0");
}

TEST(StepsTo, ALingeringBackendThatIsNotThereIsNotAdded) {
  VirtualServer wanted = Wanted({}, Protocol::kUdp);
  wanted.lingering = {kB};
  const PresentServer present{{"rr", 0, 0}, {}};
  EXPECT_EQ(StepsOf(&wanted, &present, Protocol::kUdp), "");
}

TEST(StepsTo, ATcpServerThatLeavesDrains) {
  const PresentServer present{{"rr", 0, 0}, {{kA, 1}}};
  EXPECT_EQ(StepsOf(nullptr, &present), "set 10.180.0.11:8080 of 172.30.0.10:80/TCP weight 0");
  EXPECT_TRUE(Drains(nullptr, present));
}

TEST(StepsTo, AUdpServerOrOneWithoutBackendsGoesAtOnce) {
  const PresentServer present{{"rr", 0, 0}, {{kA, 1}}};
  EXPECT_EQ(StepsOf(nullptr, &present, Protocol::kUdp), "remove 172.30.0.10:80/UDP");
  const PresentServer empty{{"rr", 0, 0}, {}};
  EXPECT_EQ(StepsOf(nullptr, &empty), "remove 172.30.0.10:80/TCP");
}

TEST(StepsTo, NothingIsDoneForWhatNeitherIsNorShouldBe) {
  EXPECT_EQ(StepsOf(nullptr, nullptr), "");
}

TEST(Drained, ABackendGoesWhenItHasNoConnectionOfAnyKind) {
  const VirtualServer wanted = Wanted({{kB, 1}});
  const PresentServer present{{"rr", 0, 0}, {{kA, 0}, {kB, 1}}};
  EXPECT_EQ(Text(Drained(Key(), &wanted, present, {{kA, {1, 0}}})), "");
  EXPECT_EQ(Text(Drained(Key(), &wanted, present, {{kA, {0, 1}}})), "") << "TIME_WAIT still has packets";
  EXPECT_EQ(Text(Drained(Key(), &wanted, present, {{kA, {0, 0}}})),
            "remove 10.180.0.11:8080 of 172.30.0.10:80/TCP");
}

TEST(Drained, ABackendInUseNeverGoes) {
  const VirtualServer wanted = Wanted({{kB, 1}});
  const PresentServer present{{"rr", 0, 0}, {{kB, 1}}};
  EXPECT_EQ(Text(Drained(Key(), &wanted, present, {})), "");
  EXPECT_FALSE(Drains(&wanted, present));
}

TEST(Drained, AServerGoesWhenNoneOfItsBackendsHasAnEstablishedConnection) {
  const PresentServer present{{"rr", 0, 0}, {{kA, 0}, {kB, 0}}};
  EXPECT_EQ(Text(Drained(Key(), nullptr, present, {{kA, {0, 9}}, {kB, {1, 0}}})), "");
  EXPECT_EQ(Text(Drained(Key(), nullptr, present, {{kA, {0, 9}}})), "remove 172.30.0.10:80/TCP");
}

}  // namespace
}  // namespace fairlead::ipvs
