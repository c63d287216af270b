// SPDX-License-Identifier: Apache-2.0
// Ends of connections that come from both sides at once, and what comes after an end; connections that began
// before this proxy did.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "test/support/ebpf/packet_test.h"

namespace fairlead::test {
namespace {

class EndingTest : public PacketTest {
 protected:
  Packet FromClient(uint16_t sport = 20000) const { return Ip(who.client, who.load_balancer).Tcp(sport, 80); }
  Packet Answer(uint16_t port = 20000) const {
    return Ip(who.remote, who.node).Tcp(8080, port).Ack().Link(kN2Mac, kNodeMac);
  }
  void Establish(uint16_t sport) {
    rig().In(FromClient(sport).Syn());
    rig().In(Answer(sport).Syn());
    rig().In(FromClient(sport).Ack());
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, EndingTest, kTcOnly, PathName);

TEST_P(EndingTest, OfTwoEndsAtTheSameTimeNeitherIsLost) {
  constexpr uint16_t kFirst = 20000, kConnections = 300;
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  for (uint16_t i = 0; i < kConnections; ++i) Establish(static_cast<uint16_t>(kFirst + i));
  std::atomic<int> at_client = 0, at_backend = 0;
  auto end = [&](std::atomic<int>& mine, const std::atomic<int>& others, auto packet) {
    for (uint16_t i = 0; i < kConnections; ++i) {
      mine = i;
      while (others < i) std::this_thread::yield();
      (void)rig().RunBare("tc_uplink", packet(static_cast<uint16_t>(kFirst + i)));
    }
    mine = kConnections;
  };
  std::thread client(end, std::ref(at_client), std::cref(at_backend),
                     [&](uint16_t port) { return FromClient(port).Ack().Fin(); });
  end(at_backend, at_client, [&](uint16_t port) { return Answer(port).Fin(); });
  client.join();
  for (uint16_t port = kFirst; port < kFirst + kConnections; ++port) {
    EXPECT_EQ(rig().StateOf(FromClient(port)), "closed") << port;
    EXPECT_EQ(rig().StateOf(Answer(port)), "closed") << port;
  }
}

// --- a connection to the backend itself, by the ports of one through the Service

class DirectTest : public EndingTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    if (IsSkipped()) return;
    rig().Apply({Cart().LocalOn({who.At(who.pod, 8080)}).ExternalLocal()});
    rig().In(FromClient().Syn());
    ASSERT_EQ(Outcome(rig().Egress(AnswerOut().Syn())), "passed to the client");
    rig().In(FromClient().Ack());
  }
  Packet AnswerOut() const { return Ip(who.pod, who.client).Tcp(8080, 20000).Ack(); }
  Packet Direct() const { return Ip(who.client, who.pod).Tcp(20000, 8080); }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, DirectTest, kTcOnly, PathName);

TEST_P(DirectTest, GetsItsAnswersFromTheBackendWhereTheFlowIsOver) {
  rig().In(FromClient().Ack().Fin());
  rig().Egress(AnswerOut().Fin());
  ASSERT_EQ(rig().StateOf(FromClient()), "closed");
  EXPECT_EQ(rig().In(Direct().Syn()).Text(), "pass");
  Packet answer = AnswerOut().Syn();
  Ran ran = rig().Egress(answer);
  EXPECT_EQ(ran.Text(), "pass");
  ExpectPacket(ran.frame, answer);
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

// It is seen only as it leaves: with a source port of its own, or one that nf_conntrack gave it.
TEST_P(EndingTest, AConnectionOfTheNodeItselfGetsItsAnswersWhereTheFlowIsOver) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Establish(20000);
  rig().In(FromClient().Ack().Fin());
  rig().In(Answer().Fin());
  ASSERT_EQ(rig().StateOf(Answer()), "closed");
  Packet own = Ip(who.node, who.remote).Tcp(20000, 8080).Syn();
  ExpectPacket(rig().Egress(own).frame, own);
  Packet answer = Answer().Syn();
  Ran ran = rig().In(answer);
  EXPECT_EQ(ran.Text(), "pass");
  ExpectPacket(ran.frame, answer);
}

TEST_P(DirectTest, DoesNotEndAFlowThatGoesOn) {
  rig().In(Direct().Syn());
  EXPECT_EQ(rig().StateOf(FromClient()), "established");
  EXPECT_EQ(Outcome(rig().Egress(AnswerOut())), "passed to the client");
}

TEST_P(DirectTest, DoesNotEndAFlowThatWasJustResetWhichAnybodyCanForge) {
  rig().In(FromClient().Rst());
  ASSERT_EQ(rig().StateOf(FromClient()), "closed");
  rig().In(Direct().Syn());
  EXPECT_EQ(rig().FlowEntries(), 2U);
  EXPECT_EQ(Outcome(rig().Egress(AnswerOut())), "passed to the client") << "the flow goes on";
}

TEST_P(DirectTest, EndsAFlowThatIsSilentSinceItsReset) {
  rig().In(FromClient().Rst());
  rig().Pass(2);
  rig().In(Direct().Syn());
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

// --- connections of an earlier proxy of this node

class EarlierProxyTest : public PacketTest {
 protected:
  void LeaveEstablished() {
    UseRig({.configure = [](fairlead_config& config) { config.leave_established = 1; },
            .configured = "leaves established"});
    rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, EarlierProxyTest, kEveryPath, PathName);

TEST_P(EarlierProxyTest, WhatGoesOnWithoutAFlowIsLeftToTheStackAndCounted) {
  LeaveEstablished();
  for (const std::string& address : {who.load_balancer, who.cluster_ip}) {
    for (Packet packet :
         {Ip(who.client, address).Tcp(20000, 80).Ack().Payload("more"),
          Ip(who.client, address).Tcp(20000, 80).Ack().Fin(), Ip(who.client, address).Tcp(20000, 80).Rst()}) {
      Ran ran = rig().In(packet);
      EXPECT_EQ(ran.Text(), "pass: uplink LEFT_TO_STACK") << address;
      ExpectPacket(ran.frame, packet);
    }
  }
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(EarlierProxyTest, WhatGoesOnIsLeftToTheStackWhereTheServiceHasNoEndpointAnyMore) {
  LeaveEstablished();
  rig().Apply({Cart()});
  EXPECT_EQ(rig().In(Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack()).Text(),
            "pass: uplink LEFT_TO_STACK");
}

TEST_P(EarlierProxyTest, WhatBeginsIsServedAndGoesOnHere) {
  LeaveEstablished();
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "sent to a backend");
  EXPECT_EQ(Outcome(rig().In(Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack())), "sent to a backend");
}

TEST_P(EarlierProxyTest, WhenNoneIsLeftWhatGoesOnBeginsAFlow) {
  LeaveEstablished();
  Packet middle = Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack().Payload("more");
  ASSERT_EQ(rig().In(middle).Text(), "pass: uplink LEFT_TO_STACK");
  rig().SetDevice("", "", "", DEVICE_NONE_EARLIER);
  EXPECT_EQ(Outcome(rig().In(middle)), "sent to a backend");
}

TEST_P(EarlierProxyTest, ItServesWhatBeginsTooUntilProgramsAreOnEveryDevice) {
  LeaveEstablished();
  rig().SetDevice("", "", "", DEVICE_EARLIER_SERVES);
  EXPECT_EQ(rig().In(SynTo(who.load_balancer, 80)).Text(), "pass: uplink LEFT_TO_STACK");
  EXPECT_EQ(rig().FlowEntries(), 0U);
  rig().SetDevice("", "", "", 0);
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "sent to a backend");
}

TEST_P(EarlierProxyTest, UnlessToldSoWhatGoesOnBeginsAFlow) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack())), "sent to a backend");
}

}  // namespace
}  // namespace fairlead::test
