// SPDX-License-Identifier: Apache-2.0
// Which source address a backend sees. The rules are the planner's (agent/plan); here, what the programs make
// of them.
#include <arpa/inet.h>

#include "test/support/ebpf/packet_test.h"

namespace fairlead::test {
namespace {

using plan::Masquerade;

using MasqueradeTest = PacketTest;
INSTANTIATE_TEST_SUITE_P(Everywhere, MasqueradeTest, kEveryPath, PathName);

std::string SourceOf(const KernelRig& rig, const Packet& packet) {
  auto flow = rig.FlowOf(packet);
  return flow ? Address{flow->to_src}.ToString() : "none";
}

TEST_P(MasqueradeTest, OnTheClusterIpClientsOutsideAreMasqueradedAndPodsAreNot) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet outside = SynTo(who.cluster_ip, 80), pod_elsewhere = Packet(outside).From(who.other_remote);
  rig().In(outside);
  rig().In(pod_elsewhere);
  EXPECT_EQ(SourceOf(rig(), outside), who.node);
  EXPECT_EQ(SourceOf(rig(), pod_elsewhere), who.other_remote);
}

TEST_P(MasqueradeTest, OnTheClusterIpNobodyOrEverybodyIsIfThePlanSaysSo) {
  Packet outside = SynTo(who.cluster_ip, 80), pod_elsewhere = Packet(outside).From(who.other_remote);
  rig().Apply({Cart(Masquerade::kNobody).On({who.At(who.remote, 8080)})});
  rig().In(outside);
  EXPECT_EQ(SourceOf(rig(), outside), who.client);
  rig().Apply({Cart(Masquerade::kAll).On({who.At(who.remote, 8080)})});
  rig().In(pod_elsewhere);
  EXPECT_EQ(SourceOf(rig(), pod_elsewhere), who.node);
}

TEST_P(MasqueradeTest, OnExternalAddressesEverybodyIsUnlessThePolicyIsLocal) {
  rig().Apply({Cart().On({who.At(who.pod, 8080) + " local"})});
  Packet outside = SynTo(who.load_balancer, 80), pod_elsewhere = Packet(outside).From(who.remote);
  rig().In(outside);
  rig().In(pod_elsewhere);
  EXPECT_EQ(SourceOf(rig(), outside), who.node);
  EXPECT_EQ(SourceOf(rig(), pod_elsewhere), who.node);
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  Packet next = SynTo(who.load_balancer, 80, 20001);
  rig().In(next);
  EXPECT_EQ(SourceOf(rig(), next), who.client);
}

TEST_P(MasqueradeTest, APodThatReachesItselfIsAlways) {
  rig().Apply({Cart().On({who.At(who.pod, 8080) + " local"})});
  Packet syn = Ip(who.pod, who.cluster_ip).Tcp(20000, 80).Syn().Link(kPodMac, kHostMac);
  Ran there = rig().Pod(syn);
  EXPECT_EQ(Outcome(there), "sent to a backend");
  ExpectPacket(there.frame,
               Packet(syn).From(who.node, 20000).To(who.pod, 8080).Ttl(63).Link(kHostMac, kPodMac));
  Packet answer = Ip(who.pod, who.node).Tcp(8080, 20000).Syn().Ack().Link(kPodMac, kHostMac);
  Ran back = rig().Pod(answer);
  EXPECT_EQ(Outcome(back), "sent to the client");
  ExpectPacket(back.frame, Packet(answer).From(who.cluster_ip, 80).To(who.pod, 20000).Ttl(63));
}

TEST_P(MasqueradeTest, ADetectorByDeviceTakesWhatAPodsDeviceSendsForAPods) {
  UseRig({.configure = [](fairlead_config& config) { config.pod_devices_are_pods = 1; },
          .configured = "pod devices are pods"});
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet strange = Ip(who.client, who.cluster_ip).Tcp(20000, 80).Syn().Link(kPodMac, kHostMac);
  rig().Pod(strange);
  EXPECT_EQ(SourceOf(rig(), strange), who.client);
}

TEST_P(MasqueradeTest, WithoutADetectorByDeviceAPodsDeviceIsNoProof) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet strange = Ip(who.client, who.cluster_ip).Tcp(20000, 80).Syn().Link(kPodMac, kHostMac);
  rig().Pod(strange);
  EXPECT_EQ(SourceOf(rig(), strange), who.node);
}

TEST_P(MasqueradeTest, ADeviceWithoutAnAddressLendsTheNodes) {
  rig().SetDevice("", who.family == Family::kIpv4 ? "192.168.99.77" : "", V4() ? "" : "fd00:192:168:99::77",
                  0);
  rig().Apply({Cart().On({who.At(who.pod, 8080) + " local"})});
  Packet syn = SynTo(who.load_balancer, 80);
  rig().In(syn);
  EXPECT_EQ(SourceOf(rig(), syn), V4() ? "192.168.99.77" : "fd00:192:168:99::77");
}

TEST_P(MasqueradeTest, ANodeWithoutAnAddressOfTheFamilyDrops) {
  rig().SetDevice("", "", "", 0);
  rig().SetDevice("eth0", "", "", DEVICE_UPLINK);
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "drop: DROP_NO_ROUTE");
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

// --- source ports

TEST_P(MasqueradeTest, TheClientsPortIsKeptWhereTheNodeGivesItAway) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet syn = SynTo(who.load_balancer, 80, 12345);
  rig().In(syn);
  EXPECT_EQ(rig().FlowOf(syn)->to_sport, rig().FlowOf(syn)->key.sport);
  EXPECT_EQ(rig().NatTries().at(0), 1U);
}

TEST_P(MasqueradeTest, APortOfTheNodesOwnIsExchanged) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  for (uint16_t i = 0; i < 100; ++i) {  // NodePorts, and what the kernel gives to sockets
    Packet syn = SynTo(who.load_balancer, 80, static_cast<uint16_t>(30000 + i * 300));
    ASSERT_EQ(Outcome(rig().In(syn)), "sent to a backend");
    uint16_t port = ntohs(rig().FlowOf(syn)->to_sport);
    EXPECT_TRUE(port >= 1024 && port <= 29999) << port;
  }
}

TEST_P(MasqueradeTest, OneBackendThroughTwoAddressesFromOnePortIsTwoConnections) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet one = SynTo(who.load_balancer, 80), two = SynTo(who.external_ip, 80);
  Ran first = rig().In(one);
  ASSERT_EQ(Outcome(rig().In(two)), "sent to a backend");
  ExpectPacket(first.frame,
               Packet(one).From(who.node, 20000).To(who.remote, 8080).Ttl(63).Link(kNodeMac, kN2Mac));
  uint16_t other = ntohs(rig().FlowOf(two)->to_sport);
  EXPECT_NE(other, 20000);
  for (const auto& [address, port] :
       {std::pair{who.load_balancer, uint16_t{20000}}, {who.external_ip, other}}) {
    Packet answer = Ip(who.remote, who.node).Tcp(8080, port).Syn().Ack().Link(kN2Mac, kNodeMac);
    ExpectPacket(rig().In(answer).frame, Packet(answer).From(address, 80).To(who.client, 20000).Ttl(63));
  }
}

TEST_P(MasqueradeTest, OneBackendThroughTwoAddressesIsTwoConnectionsWithTheClientsAddressToo) {
  rig().Apply({Cart().ExternalLocal().LocalOn({who.At(who.pod, 8080)})});
  Packet one = SynTo(who.load_balancer, 80), two = SynTo(who.external_ip, 80);
  rig().In(one);
  Ran second = rig().In(two);
  ASSERT_EQ(Outcome(second), "passed to a backend");
  uint16_t other = ntohs(rig().FlowOf(two)->to_sport);
  EXPECT_NE(other, 20000);
  ExpectPacket(second.frame, Packet(two).From(who.client, other).To(who.pod, 8080));
  Packet answer = Ip(who.pod, who.client).Tcp(8080, other).Syn().Ack().Link(kNodeMac, kGatewayMac);
  ExpectPacket(rig().Egress(answer).frame, Packet(answer).From(who.external_ip, 80).To(who.client, 20000));
}

TEST_P(MasqueradeTest, WithoutAFreePortTheConnectionIsDroppedAndNothingIsLeftBehind) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  rig().SetNatPorts(5000, 5000);
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80, 5000))), "sent to a backend");
  Packet second = SynTo(who.load_balancer, 80, 5000).From(who.other_client);
  Ran ran = rig().In(second);
  EXPECT_EQ(Outcome(ran), "drop: DROP_NAT_EXHAUSTED");
  ExpectPacket(ran.frame, second);
  EXPECT_EQ(rig().FlowEntries(), 2U);
  EXPECT_EQ(rig().NatTries().at(NAT_TRIES), 1U);
}

TEST_P(MasqueradeTest, OnePortServesEveryBackendOnce) {
  rig().SetNatPorts(5000, 5000);
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80, 5000))), "sent to a backend");
  rig().Apply({Cart().On({who.At(who.other_remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80, 5000).From(who.other_client))),
            "sent to a backend");
}

}  // namespace
}  // namespace fairlead::test
