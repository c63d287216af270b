// SPDX-License-Identifier: Apache-2.0
// From a client outside to a backend and back: every kind of address, backends here and elsewhere, and the
// way a packet leaves.
#include "test/support/ebpf/packet_test.h"

namespace fairlead::test {
namespace {

using ForwardTest = PacketTest;
INSTANTIATE_TEST_SUITE_P(Everywhere, ForwardTest, kEveryPath, PathName);
using ForwardXdpTest = PacketTest;
INSTANTIATE_TEST_SUITE_P(AtTheDriver, ForwardXdpTest, kXdpOnly, PathName);

TEST_P(ForwardTest, EveryKindOfAddressLeadsToABackendElsewhere) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  uint16_t sport = 20000;
  for (const auto& [address, port] : {std::pair{who.node, 30080},
                                      {who.second_node_address, 30080},
                                      {who.load_balancer, 80},
                                      {who.external_ip, 80},
                                      {who.cluster_ip, 80}}) {
    Packet syn = SynTo(address, static_cast<uint16_t>(port), ++sport);
    Ran ran = rig().In(syn);
    EXPECT_EQ(Outcome(ran), "sent to a backend") << address;
    ExpectPacket(ran.frame,
                 Packet(syn).From(who.node, sport).To(who.remote, 8080).Ttl(63).Link(kNodeMac, kN2Mac));
  }
}

TEST_P(ForwardTest, AnAnswerFromElsewhereGetsTheServicesAddressAgain) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  rig().In(SynTo(who.load_balancer, 80));
  Packet answer = Ip(who.remote, who.node).Tcp(8080, 20000).AckNumber(1001).Link(kN2Mac, kNodeMac);
  // The first is sent by the kernel's neighbour table, which fills the link addresses in.
  EXPECT_EQ(Outcome(rig().In(Packet(answer).Syn())), "sent to the client");
  Ran ran = rig().In(answer);
  EXPECT_EQ(Outcome(ran), "sent to the client");
  ExpectPacket(
      ran.frame,
      Packet(answer).From(who.load_balancer, 80).To(who.client, 20000).Ttl(63).Link(kNodeMac, kGatewayMac));
}

TEST_P(ForwardTest, ABackendHereIsReachedThroughTheStackWithTheClientsAddress) {
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  Packet syn = SynTo(who.load_balancer, 80, 40000);  // a port the node would not give away: it is kept
  Ran ran = rig().In(syn);
  EXPECT_EQ(Outcome(ran), "passed to a backend");
  ExpectPacket(ran.frame, Packet(syn).To(who.pod, 8080));
}

TEST_P(ForwardTest, AnAnswerOfAPodHereGetsTheServicesAddressWhereItLeaves) {
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  rig().In(SynTo(who.load_balancer, 80));
  Packet answer =
      Ip(who.pod, who.client).Tcp(8080, 20000).Syn().AckNumber(1001).Ttl(63).Link(kNodeMac, kGatewayMac);
  Ran ran = rig().Egress(answer);
  EXPECT_EQ(Outcome(ran), "passed to the client");
  ExpectPacket(ran.frame, Packet(answer).From(who.load_balancer, 80));
}

TEST_P(ForwardTest, AMasqueradedClientReachesAPodHereByItsDevice) {
  rig().Apply({Cart().On({who.At(who.pod, 8080) + " local"})});
  Packet syn = SynTo(who.node, 30080);
  Ran ran = rig().In(syn);
  EXPECT_EQ(Outcome(ran), "sent to a backend");
  ExpectPacket(ran.frame,
               Packet(syn).From(who.node, 20000).To(who.pod, 8080).Ttl(63).Link(kHostMac, kPodMac));
  EXPECT_EQ(rig().FlowOf(syn)->ifindex, rig().IfIndex("pod11"));
}

TEST_P(ForwardTest, AnAnswerToTheNodesAddressIsUndoneWhereItLeavesThePod) {
  rig().Apply({Cart().On({who.At(who.pod, 8080) + " local"})});
  rig().In(SynTo(who.node, 30080));
  Packet answer = Ip(who.pod, who.node).Tcp(8080, 20000).AckNumber(1001).Link(kPodMac, kHostMac);
  EXPECT_EQ(Outcome(rig().Pod(Packet(answer).Syn())), "sent to the client");
  Ran ran = rig().Pod(answer);
  EXPECT_EQ(Outcome(ran), "sent to the client");
  ExpectPacket(
      ran.frame,
      Packet(answer).From(who.node, 30080).To(who.client, 20000).Ttl(63).Link(kNodeMac, kGatewayMac));
}

TEST_P(ForwardTest, ABackendInTheNodesOwnNetworkSeesTheClient) {
  rig().Apply({Cart().On({who.At(who.node, 8080) + " local"})});
  Packet syn = SynTo(who.load_balancer, 80);
  Ran ran = rig().In(syn);
  EXPECT_EQ(Outcome(ran), "passed to a backend");
  ExpectPacket(ran.frame, Packet(syn).To(who.node, 8080));
  Packet answer = Ip(who.node, who.client).Tcp(8080, 20000).Syn().Ack().Link(kNodeMac, kGatewayMac);
  ExpectPacket(rig().Egress(answer).frame, Packet(answer).From(who.load_balancer, 80));
}

TEST_P(ForwardTest, APacketLeavesByTheDeviceOfItsRouteWithThatDevicesAddress) {
  rig().Apply({Cart().On({who.At(who.remote_second, 8080)})});
  Packet syn = SynTo(who.load_balancer, 80);
  Ran ran = rig().In(syn);
  EXPECT_EQ(ran.verdict.substr(0, ran.verdict.find(' ')), "uplink");  // XDP leaves it alone
  ExpectPacket(ran.frame, Packet(syn)
                              .From(who.second_node_address, 20000)
                              .To(who.remote_second, 8080)
                              .Ttl(63)
                              .Link(kSecondMac, kRouterMac));
  EXPECT_EQ(rig().FlowOf(syn)->ifindex, rig().IfIndex("eth1"));
}

TEST_P(ForwardTest, ANeighbourThatIsNotKnownIsLeftToTheKernel) {
  rig().Apply({Cart().On({who.At(who.remote_unknown, 8080)})});
  Packet syn = SynTo(who.load_balancer, 80);
  Ran ran = rig().In(syn);
  EXPECT_EQ(ran.Text().substr(0, 12), "sent: uplink");
  ExpectPacket(ran.frame, Packet(syn).From(who.node, 20000).To(who.remote_unknown, 8080).Ttl(63));
  EXPECT_EQ(rig().FlowOf(syn)->egress, EGRESS_NEIGH);
}

TEST_P(ForwardTest, ADirectPodIsEnteredPastTheStack) {
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  rig().SetDevice("pod11", "", "", DEVICE_POD | DEVICE_DIRECT);
  Packet syn = SynTo(who.load_balancer, 80);
  Ran ran = rig().In(syn);
  EXPECT_EQ(Outcome(ran), "sent to a backend");
  EXPECT_EQ(rig().FlowOf(syn)->egress, EGRESS_PEER);
  // Its answers do not come through the stack: they are undone as they leave the pod.
  Packet answer = Ip(who.pod, who.client).Tcp(8080, 20000).Syn().Ack().Link(kPodMac, kHostMac);
  Ran back = rig().Pod(answer);
  EXPECT_EQ(Outcome(back), "sent to the client");
  ExpectPacket(back.frame, Packet(answer).From(who.load_balancer, 80).Ttl(63));
}

TEST_P(ForwardTest, ABackendWithoutARouteIsADropAndLeavesNoFlow) {
  rig().Apply({Cart().On({who.At(who.remote_nowhere, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "drop: DROP_NO_ROUTE");
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(ForwardTest, APacketAtItsLastHopIsNotForwarded) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80).Ttl(1))), "drop: DROP_TTL");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80).Ttl(2))), "sent to a backend");
}

TEST_P(ForwardTest, APacketAtItsLastHopIsLeftToTheStackThatRoutesIt) {
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80).Ttl(1))), "passed to a backend");
}

TEST_P(ForwardTest, LaterPacketsGoTheWayOfTheFirst) {
  rig().Apply({Cart().On({who.At(who.remote, 8080), who.At(who.other_remote, 8080)})});
  Ran first = rig().In(SynTo(who.load_balancer, 80));
  for (int i = 0; i < 20; ++i) {
    Ran later = rig().In(Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack().Payload("x"));
    EXPECT_EQ(Outcome(later), "sent to a backend");
    size_t at = V4() ? 26 : 22, size = V4() ? 8 : 32;  // both addresses
    EXPECT_TRUE(std::equal(later.frame.begin() + static_cast<ptrdiff_t>(at),
                           later.frame.begin() + static_cast<ptrdiff_t>(at + size),
                           first.frame.begin() + static_cast<ptrdiff_t>(at)));
  }
  EXPECT_EQ(rig().FlowEntries(), 2U);
}

TEST_P(ForwardXdpTest, WhatLeavesAsItCameIsSentBeforeThereIsAnSkb) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(rig().In(SynTo(who.load_balancer, 80)).Text(), "sent: xdp TRANSLATED");
  EXPECT_EQ(rig().In(Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack()).Text(), "sent: xdp KEPT");
}

}  // namespace
}  // namespace fairlead::test
