// SPDX-License-Identifier: Apache-2.0
// What the flow table remembers: states, flows that outlive their Service, datagrams that move, halves that
// are lost, a restart, a table that is full.
#include <arpa/inet.h>
#include <gmock/gmock.h>

#include "test/support/ebpf/packet_test.h"

namespace fairlead::test {
namespace {

class ConntrackTest : public PacketTest {
 protected:
  Packet FromClient(uint16_t sport = 20000) const { return Ip(who.client, who.load_balancer).Tcp(sport, 80); }
  // Of the backend elsewhere, to the node's port.
  Packet Answer(uint16_t port = 20000) const {
    return Ip(who.remote, who.node).Tcp(8080, port).Ack().Link(kN2Mac, kNodeMac);
  }
  void Establish(uint16_t sport = 20000) {
    rig().In(FromClient(sport).Syn());
    rig().In(Answer(sport).Syn());
    rig().In(FromClient(sport).Ack());
  }
  PortOf Elsewhere() const { return Cart().On({who.At(who.remote, 8080)}); }
  PortOf Dns() const {
    return PortOf("shop/dns:dns").Udp().ClusterIp(who.cluster_ip, 53).LoadBalancer(who.load_balancer, 53);
  }
  Packet Query(uint16_t sport = 20000) const {
    return Ip(who.client, who.load_balancer).Udp(sport, 53).Payload("query");
  }
  std::string BackendOf(const Packet& packet) {
    auto flow = rig().FlowOf(packet);
    return flow ? Address{flow->to_dst}.ToString() : "none";
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, ConntrackTest, kEveryPath, PathName);

TEST_P(ConntrackTest, AFlowHasAnEntryForEachDirection) {
  rig().Apply({Elsewhere()});
  rig().In(FromClient().Syn());
  EXPECT_THAT(
      rig().Flows(),
      testing::UnorderedElementsAre(
          fmt::format("TCP {} > {} becomes {} > {}, syn, masqueraded", who.At(who.client, 20000),
                      who.At(who.load_balancer, 80), who.At(who.node, 20000), who.At(who.remote, 8080)),
          fmt::format("TCP {} > {} becomes {} > {}, syn, reply, masqueraded", who.At(who.remote, 8080),
                      who.At(who.node, 20000), who.At(who.load_balancer, 80), who.At(who.client, 20000))));
}

// --- states

TEST_P(ConntrackTest, AConnectionIsEstablishedWhenTheBackendHasAnsweredAndTheClientGoesOn) {
  rig().Apply({Elsewhere()});
  rig().In(FromClient().Syn());
  rig().In(FromClient().Syn());  // again: nobody answered
  EXPECT_EQ(rig().StateOf(FromClient()), "syn");
  rig().In(Answer().Syn());
  EXPECT_EQ(rig().StateOf(FromClient()), "syn");  // an answer is had for the asking
  rig().In(FromClient().Ack());
  EXPECT_EQ(rig().StateOf(FromClient()), "established");
  EXPECT_EQ(rig().StateOf(Answer()), "established");
}

TEST_P(ConntrackTest, AConnectionIsClosedWhenBothSidesAre) {
  rig().Apply({Elsewhere()});
  Establish();
  rig().In(FromClient().Ack().Fin());
  EXPECT_EQ(rig().StateOf(FromClient()), "half closed");
  EXPECT_EQ(rig().StateOf(Answer()), "half closed");
  EXPECT_EQ(Outcome(rig().In(Answer().Payload("still sending"))), "sent to the client");
  EXPECT_EQ(rig().StateOf(Answer()), "half closed");
  rig().In(Answer().Fin());
  EXPECT_EQ(rig().StateOf(FromClient()), "closed");
  EXPECT_EQ(Outcome(rig().In(FromClient().Ack())), "sent to a backend");  // the last acknowledgement
}

TEST_P(ConntrackTest, AResetOfEitherSideClosesAConnection) {
  rig().Apply({Elsewhere()});
  Establish(20001);
  rig().In(FromClient(20001).Rst());
  EXPECT_EQ(rig().StateOf(Answer(20001)), "closed");
  Establish(20002);
  rig().In(Answer(20002).Rst());
  EXPECT_EQ(rig().StateOf(FromClient(20002)), "closed");
}

TEST_P(ConntrackTest, AConnectionThatGoesOnAfterAForgedResetIsEstablishedAgain) {
  rig().Apply({Elsewhere()});
  Establish();
  rig().In(FromClient().Rst());
  rig().In(FromClient().Ack());
  rig().In(Answer());
  EXPECT_EQ(rig().StateOf(FromClient()), "syn");
  rig().In(FromClient().Ack());
  EXPECT_EQ(rig().StateOf(FromClient()), "established");
}

TEST_P(ConntrackTest, AClosedPortBeginsAnewWithItsNextConnection) {
  rig().Apply({Elsewhere()});
  Establish();
  rig().In(FromClient().Rst());
  rig().Apply({Cart().On({who.At(who.other_remote, 8080)})});
  rig().In(FromClient().Syn());
  EXPECT_EQ(BackendOf(FromClient()), who.other_remote);
  EXPECT_EQ(rig().FlowEntries(), 2U);
}

TEST_P(ConntrackTest, ADatagramFlowIsAStreamOnceAnswered) {
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  rig().In(Query());
  EXPECT_EQ(rig().StateOf(Query()), "unreplied");
  Packet answer = Ip(who.remote, who.node).Udp(53, 20000).Payload("answer").Link(kN2Mac, kNodeMac);
  Ran ran = rig().In(answer);
  EXPECT_EQ(Outcome(ran), "sent to the client");
  ExpectPacket(ran.frame, Packet(answer).From(who.load_balancer, 53).To(who.client, 20000).Ttl(63));
  EXPECT_EQ(rig().StateOf(Query()), "stream");
}

TEST_P(ConntrackTest, TheEndOfAConnectionNobodyKnowsBeginsNone) {
  rig().Apply({Elsewhere()});
  rig().In(FromClient().Rst());
  rig().In(FromClient().Ack().Fin());
  rig().In(FromClient().Syn().Ack());
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(ConntrackTest, TheMiddleOfAConnectionNobodyKnowsGoesOnWithABackend) {
  rig().Apply({Elsewhere()});
  EXPECT_EQ(Outcome(rig().In(FromClient().Ack().Payload("middle"))), "sent to a backend");
}

TEST_P(ConntrackTest, TheMiddleOfAConnectionOnAPortOfTheNodeIsTheNodesOwn) {
  rig().Apply({Elsewhere()});
  Packet middle = Ip(who.client, who.node).Tcp(20000, 30080).Ack().Payload("middle");
  ExpectPacket(rig().In(middle).frame, middle);
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(ConntrackTest, AnAnswerNobodyAskedForPasses) {
  rig().Apply({Elsewhere()});
  ExpectPacket(rig().In(Answer().Syn()).frame, Answer().Syn());
  ExpectPacket(rig().Egress(Answer().Syn()).frame, Answer().Syn());
}

// --- changes of the Service

TEST_P(ConntrackTest, AnEstablishedConnectionOutlivesItsBackendAndItsService) {
  rig().Apply({Elsewhere()});
  Establish();
  rig().Apply({Cart().On({who.At(who.other_remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(FromClient().Ack())), "sent to a backend");
  EXPECT_EQ(BackendOf(FromClient()), who.remote);
  rig().Apply({Gone(Cart())});
  Ran ran = rig().In(FromClient().Ack().Payload("x"));
  ExpectPacket(ran.frame, FromClient()
                              .Ack()
                              .Payload("x")
                              .From(who.node, 20000)
                              .To(who.remote, 8080)
                              .Ttl(63)
                              .Link(kNodeMac, kN2Mac));
  EXPECT_EQ(Outcome(rig().In(Answer())), "sent to the client");
  EXPECT_EQ(Outcome(rig().In(FromClient(20001).Syn())), "passed");
}

TEST_P(ConntrackTest, ADatagramSocketMovesOffARemovedBackendAtOnce) {
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  rig().In(Query());
  rig().Apply({Dns().On({who.At(who.other_remote, 53)})});
  Ran ran = rig().In(Query());
  EXPECT_EQ(Outcome(ran), "sent to a backend");
  ExpectPacket(ran.frame,
               Query().From(who.node, 20000).To(who.other_remote, 53).Ttl(63).Link(kNodeMac, kN2Mac));
  EXPECT_EQ(rig().FlowEntries(), 2U);
}

TEST_P(ConntrackTest, ADatagramSocketStaysOnABackendThatStandsWhateverElseChanges) {
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  rig().In(Query());
  rig().Apply(
      {Dns().On({who.At(who.remote, 53), who.At(who.other_remote, 53), who.At(who.remote_small, 53)})});
  for (int i = 0; i < 20; ++i) rig().In(Query());
  EXPECT_EQ(BackendOf(Query()), who.remote);
}

TEST_P(ConntrackTest, ADatagramSocketStaysOnADrainingBackendAndNewOnesAvoidIt) {
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  rig().In(Query());
  rig().Apply({Dns().On({who.At(who.other_remote, 53)}).Draining({who.At(who.remote, 53)})});
  rig().In(Query());
  rig().In(Query(20001));
  EXPECT_EQ(BackendOf(Query()), who.remote);
  EXPECT_EQ(BackendOf(Query(20001)), who.other_remote);
}

TEST_P(ConntrackTest, NothingGoesToTheBackendsOfADeletedDatagramService) {
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  rig().In(Query());
  rig().Apply({Gone(Dns())});
  ExpectPacket(rig().In(Query()).frame, Query());
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(ConntrackTest, ADatagramSocketThatBeganBeforeTheServiceIsServed) {
  EXPECT_EQ(Outcome(rig().In(Query())), "passed");
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  EXPECT_EQ(Outcome(rig().In(Query())), "sent to a backend");
}

TEST_P(ConntrackTest, ADatagramSocketOfAClientThatIsOutOfRangeNowIsRefused) {
  rig().Apply({Dns().On({who.At(who.remote, 53)})});
  rig().In(Query());
  rig().Apply({Dns().Ranges({who.other_client + (V4() ? "/32" : "/128")}).On({who.At(who.remote, 53)})});
  EXPECT_EQ(Outcome(rig().In(Query())), "drop: DROP_SOURCE_RANGE");
}

// --- what is lost and found

TEST_P(ConntrackTest, ALostForwardEntryIsRebuiltFromTheAnswers) {
  rig().Apply({Elsewhere()});
  Establish();
  auto before = rig().Flows();
  ASSERT_TRUE(rig().Lose(FromClient()));
  rig().Pass(1);
  EXPECT_EQ(Outcome(rig().In(Answer())), "sent to the client");
  EXPECT_EQ(rig().Flows(), before);
  EXPECT_EQ(Outcome(rig().In(FromClient().Ack())), "sent to a backend");
}

TEST_P(ConntrackTest, ALostReplyEntryIsRebuiltFromTheClientsPackets) {
  rig().Apply({Elsewhere()});
  Establish();
  auto before = rig().Flows();
  ASSERT_TRUE(rig().Lose(Answer()));
  rig().Pass(1);
  EXPECT_EQ(Outcome(rig().In(FromClient().Ack())), "sent to a backend");
  EXPECT_EQ(rig().Flows(), before);
  EXPECT_EQ(Outcome(rig().In(Answer())), "sent to the client");
}

TEST_P(ConntrackTest, ALostReplyEntryOfAPodHereIsRebuiltSoThatTheUplinkUndoesItsAnswers) {
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  Packet answer = Ip(who.pod, who.client).Tcp(8080, 20000).Ack().Link(kNodeMac, kGatewayMac);
  rig().In(FromClient().Syn());
  rig().Egress(Packet(answer).Syn());
  ASSERT_TRUE(rig().Lose(answer));
  rig().Pass(1);
  rig().In(FromClient().Ack());
  Ran ran = rig().Egress(answer);
  EXPECT_EQ(Outcome(ran), "passed to the client");
  ExpectPacket(ran.frame, Packet(answer).From(who.load_balancer, 80));
}

TEST_P(ConntrackTest, PacketsOfOneSideKeepBothEntriesAlive) {
  rig().Apply({Elsewhere()});
  Establish();
  rig().Pass(50);
  rig().In(FromClient().Ack());
  EXPECT_EQ(rig().FlowOf(FromClient())->last_seen, rig().FlowOf(Answer())->last_seen);
}

TEST_P(ConntrackTest, ConnectionsOutliveARestartAndNewPrograms) {
  rig().Apply({Elsewhere(), Dns().On({who.At(who.remote, 53)})});
  Establish();
  rig().In(Query());
  auto before = rig().Flows();
  rig().Restart();
  EXPECT_EQ(Outcome(rig().In(FromClient().Ack())), "sent to a backend");
  EXPECT_EQ(Outcome(rig().In(Answer())), "sent to the client");
  EXPECT_EQ(Outcome(rig().In(Query())), "sent to a backend");
  rig().Apply({Elsewhere(), Dns().On({who.At(who.remote, 53)})});
  EXPECT_EQ(Outcome(rig().In(Query())), "sent to a backend");
  EXPECT_EQ(rig().Flows(), before);
}

// --- a full table

class PressureTest : public ConntrackTest {
 protected:
  static constexpr uint32_t kFlows = 16;
  void SetUp() override {
    ConntrackTest::SetUp();
    if (IsSkipped()) return;
    RigOptions small;
    small.flows = kFlows;
    UseRig(small);
    rig().Apply({Elsewhere()});
  }
  // SYNs of as many clients' ports; none is ever answered.
  void Flood(int packets) {
    for (int i = 0; i < packets; ++i) {
      Packet syn = FromClient(static_cast<uint16_t>(1024 + i)).From(who.other_client).Syn();
      rig().RunBare(GetParam().xdp ? "xdp_uplink" : "tc_uplink", syn);
    }
  }
  // Tries to establish connections until the table has no place for more; their ports.
  std::vector<uint16_t> FillWithEstablished() {
    std::vector<uint16_t> ports;
    for (uint16_t port = 20000; port < 20300; ++port) {
      if (rig().In(FromClient(port).Syn()).action == "drop") continue;
      rig().In(Answer(port).Syn());
      rig().In(FromClient(port).Ack());
      ports.push_back(port);
    }
    return ports;
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, PressureTest, kEveryPath, PathName);

TEST_P(PressureTest, AFloodOfSynsDoesNotCutEstablishedConnections) {
  std::vector<uint16_t> ports = {20000, 20001, 20002, 20003};
  for (uint16_t port : ports) Establish(port);
  Flood(5000);
  for (uint16_t port : ports) {
    EXPECT_EQ(rig().StateOf(FromClient(port)), "established");
    EXPECT_EQ(Outcome(rig().In(FromClient(port).Ack())), "sent to a backend");
    EXPECT_EQ(Outcome(rig().In(Answer(port))), "sent to the client");
  }
  Establish(20004);
  EXPECT_EQ(rig().StateOf(FromClient(20004)), "established") << "a new client gets a place in the flood";
}

TEST_P(PressureTest, ATableFullOfEstablishedConnectionsDropsNewOnesAndKeepsThose) {
  std::vector<uint16_t> ports = FillWithEstablished();
  EXPECT_GE(ports.size(), kFlows / 2);
  EXPECT_LE(ports.size(), kFlows);
  EXPECT_GT(rig().Counted("uplink DROP_FLOWS_FULL") + rig().Counted("xdp DROP_FLOWS_FULL"), 0U);
  EXPECT_EQ(rig().FlowEntries(), ports.size() * 2) << "a flow with half an entry";
  for (uint16_t port : ports) EXPECT_EQ(rig().StateOf(FromClient(port)), "established");
}

TEST_P(PressureTest, ConnectionsIdleForLongGiveWay) {
  FillWithEstablished();
  rig().Pass(FLOW_IDLE_BEFORE_EVICTION_S + 1);
  for (uint16_t port = 21000; port < 21008; ++port) {
    EXPECT_EQ(Outcome(rig().In(FromClient(port).Syn())), "sent to a backend");
  }
}

TEST_P(PressureTest, ClosedConnectionsGiveWayBeforeEstablishedOnes) {
  std::vector<uint16_t> ports = FillWithEstablished();
  for (size_t i = 0; i < ports.size() / 2; ++i) rig().In(FromClient(ports[i]).Rst());
  Flood(200);
  for (size_t i = ports.size() / 2; i < ports.size(); ++i)
    EXPECT_EQ(rig().StateOf(FromClient(ports[i])), "established");
}

}  // namespace
}  // namespace fairlead::test
