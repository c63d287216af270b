// SPDX-License-Identifier: Apache-2.0
// Which flows of a table another mode is told of, and how long they have left.
#include "agent/datapath/ebpf/hand_over.h"

#include <gtest/gtest.h>

#include "test/support/ebpf/flows.h"

namespace fairlead::ebpf {
namespace {

using std::chrono::seconds;
using test::FlowMaker;
using test::FlowOf;
using test::kFlowKeys;

class HandOverTest : public testing::Test {
 protected:
  HandOverTest() {
    config_.tick_ms = 2000;
    config_.flow_timeout[FLOW_ESTABLISHED] = 100;
    config_.flow_timeout[FLOW_CLOSED] = 30;
  }
  std::vector<HandedFlow> At(uint32_t tick) {
    return ReadFlows(FlowTable(sets_, kFlowKeys), config_, tick, tunnelled_);
  }
  static FlowOf Web() {
    return FlowOf("203.0.113.2:40000", "198.51.100.4:80").SeenAs("192.168.99.11:50000").LastSeen(1000);
  }

  test::FlowMemory sets_{64};
  FlowMaker maker_{sets_, kFlowKeys};
  fairlead_config config_{};
  size_t tunnelled_ = 0;
};

TEST_F(HandOverTest, AFlowIsToldOnceWithAllItsEnds) {
  maker_.Make(Web());
  const auto flows = At(1001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].client.port, 40000);
  EXPECT_EQ(flows[0].frontend.address.ToString(), "198.51.100.4");
  EXPECT_EQ(flows[0].backend.address.ToString(), "10.180.1.11");
  EXPECT_EQ(flows[0].source.port, 50000);
  EXPECT_TRUE(flows[0].answered);
}

TEST_F(HandOverTest, AClientWhoseAddressIsKeptIsItsOwnSource) {
  maker_.Make(FlowOf("203.0.113.2:40000", "198.51.100.4:80").LastSeen(1000));
  const auto flows = At(1001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].source, flows[0].client);
}

TEST_F(HandOverTest, StatesAreToldAsAnotherTableNeedsThem) {
  struct Case {
    flow_state state;
    bool answered, half_closed;
  };
  for (const Case& c : {Case{FLOW_SYN, false, false}, Case{FLOW_ESTABLISHED, true, false},
                        Case{FLOW_HALF_CLOSED, true, true}}) {
    sets_.Clear();
    config_.flow_timeout[c.state] = 100;
    maker_.Make(Web().State(c.state));
    const auto flows = At(1001);
    ASSERT_EQ(flows.size(), 1U) << FlowStateName(c.state);
    EXPECT_EQ(flows[0].answered, c.answered) << FlowStateName(c.state);
    EXPECT_EQ(flows[0].half_closed, c.half_closed) << FlowStateName(c.state);
  }
}

TEST_F(HandOverTest, DatagramsAreToldAsSuch) {
  config_.flow_timeout[FLOW_UNREPLIED] = 100;
  maker_.Make(Web().Udp().State(FLOW_UNREPLIED));
  const auto flows = At(1001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].protocol, plan::Protocol::kUdp);
  EXPECT_FALSE(flows[0].answered);
}

TEST_F(HandOverTest, AFlowThatLostItsFirstHalfIsToldByTheOtherJustTheSame) {
  maker_.Make(Web());
  const auto whole = At(1001);
  sets_.Clear();
  ASSERT_TRUE(maker_.Make(Web().Reply()));
  EXPECT_EQ(At(1001), whole);
}

TEST_F(HandOverTest, APacketOfEitherDirectionKeepsAFlow) {
  maker_.Make(Web());
  const auto place = FlowTable(sets_, kFlowKeys).Find(Web().Reply().key).value().place;
  FlowMaker::Touch(sets_[place.set], place.way, 1050);
  const auto flows = At(1120);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].left, seconds(61)) << "thirty ticks, and what rounding takes";
}

TEST_F(HandOverTest, OnesInTunnelsAreCountedInstead) {
  maker_.Make(Web().Flags(FLOW_DSR));
  maker_.Make(FlowOf("203.0.113.2:40001", "198.51.100.4:80").LastSeen(1000));
  const auto flows = At(1001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].client.port, 40001);
  EXPECT_EQ(tunnelled_, 1U);
}

TEST_F(HandOverTest, WhatIsOverIsNotTold) {
  maker_.Make(Web());
  EXPECT_EQ(At(1099).size(), 1U);
  EXPECT_TRUE(At(1100).empty());
}

TEST_F(HandOverTest, TheTimeThatIsLeftIsTold) {
  maker_.Make(Web());
  const auto flows = At(1090);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].left, seconds(21)) << "ten ticks, and what rounding takes";
}

TEST_F(HandOverTest, AFlowThatBothSidesEndedIsNotTold) {
  maker_.Make(Web().State(FLOW_CLOSED).Flags(FLOW_FIN_CLIENT | FLOW_FIN_BACKEND));
  EXPECT_TRUE(At(1001).empty());
}

TEST_F(HandOverTest, AFlowThatWasOnlyResetIsToldSinceAnybodyCanForgeThat) {
  maker_.Make(Web().State(FLOW_CLOSED));
  EXPECT_EQ(At(1001).size(), 1U);
}

}  // namespace
}  // namespace fairlead::ebpf
