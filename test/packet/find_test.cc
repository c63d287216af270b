// SPDX-License-Identifier: Apache-2.0
// Which packets are for a Service, and which of its backends their client may have.
#include <netinet/in.h>

#include "test/support/ebpf/packet_test.h"
#include "test/support/objects.h"

namespace fairlead::test {
namespace {

using FindTest = PacketTest;
INSTANTIATE_TEST_SUITE_P(Everywhere, FindTest, kEveryPath, PathName);

std::string Word(const Ran& ran) {
  return ran.verdict.empty() ? "NOT_OURS" : ran.verdict.substr(ran.verdict.find(' ') + 1);
}

TEST_P(FindTest, WhatIsForNobodyPassesUntouched) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  for (const Packet& packet :
       {SynTo(who.gateway, 80), SynTo(who.node, 22), SynTo(who.node, 30081), SynTo(who.load_balancer, 81),
        SynTo(who.external_ip, 81), SynTo(who.load_balancer, 30080), SynTo(who.node, 80)}) {
    Ran ran = rig().In(packet);
    EXPECT_EQ(Outcome(ran), "passed");
    ExpectPacket(ran.frame, packet);
  }
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(FindTest, WhatIsNoIpPacketPassesUntouched) {
  Bytes arp = SynTo(who.node, 80).Frame();
  SetU16At(arp, 12, 0x0806);
  Ran ran = rig().In(arp);
  EXPECT_EQ(Outcome(ran), "passed");
  EXPECT_EQ(ran.frame, arp);
}

TEST_P(FindTest, ATaggedFrameIsForItsVlanDeviceAndPassesUntouched) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet tagged = SynTo(who.load_balancer, 80).Vlan(7);
  Ran ran = rig().In(tagged);
  EXPECT_EQ(Outcome(ran), "passed");
  ExpectPacket(ran.frame, tagged);
}

TEST_P(FindTest, AnUndefinedPortOfAClusterIpIsRejected) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Word(rig().In(SynTo(who.cluster_ip, 81))), "REJECT_UNDEFINED_PORT");
  EXPECT_EQ(Word(rig().In(SynTo(who.cluster_ip, 30080))), "REJECT_UNDEFINED_PORT");
  EXPECT_EQ(Word(rig().In(Ip(who.client, who.cluster_ip).Udp(20000, 80))), "REJECT_UNDEFINED_PORT");
}

TEST_P(FindTest, AnAddressThatNoServiceHasIsDropped) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.unallocated, 80))), "drop: DROP_UNALLOCATED");
}

TEST_P(FindTest, SctpIsLeftToTheDatapathBesideThisOne) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  Packet sctp = Ip(who.client, who.cluster_ip).Protocol(IPPROTO_SCTP).Payload(32);
  ExpectPacket(rig().In(sctp).frame, sctp);
}

TEST_P(FindTest, AServiceWithoutEndpointsIsRejectedOnEveryAddress) {
  rig().Apply({Cart()});
  EXPECT_EQ(Word(rig().In(SynTo(who.cluster_ip, 80))), "REJECT_NO_ENDPOINT");
  EXPECT_EQ(Word(rig().In(SynTo(who.load_balancer, 80))), "REJECT_NO_ENDPOINT");
  EXPECT_EQ(Word(rig().In(SynTo(who.external_ip, 80))), "REJECT_NO_ENDPOINT");
  EXPECT_EQ(Word(rig().In(SynTo(who.node, 30080))), "REJECT_NO_ENDPOINT");
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(FindTest, UdpAndTcpOfOnePortAreTwoServices) {
  rig().Apply(
      {PortOf("shop/cart").ClusterIp(who.cluster_ip, 80).On({who.At(who.pod, 8080) + " local"}),
       PortOf("shop/dns:udp").Udp().ClusterIp(who.cluster_ip, 80).On({who.At(who.pod, 5353) + " local"})});
  Packet datagram = Ip(who.client, who.cluster_ip).Udp(20000, 80).Payload("query");
  ExpectPacket(rig().In(datagram).frame, Packet(datagram).To(who.pod, 5353));
  ExpectPacket(rig().In(SynTo(who.cluster_ip, 80)).frame, SynTo(who.cluster_ip, 80).To(who.pod, 8080));
}

TEST_P(FindTest, OnlyChosenNodeAddressesAnswerNodePorts) {
  rig().Apply({Cart().On({who.At(who.remote, 8080)})});
  plan::NodePlan node = KernelRig::NodeOfWorld();
  std::erase(node.nodeport_addresses, Addr(who.second_node_address));
  rig().ApplyNode(node);
  EXPECT_EQ(Outcome(rig().In(SynTo(who.second_node_address, 30080))), "passed");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.node, 30080))), "sent to a backend");
}

TEST_P(FindTest, AnExternalIpThatIsTheNodesAddressTakesOnlyTheServicesPorts) {
  rig().Apply({PortOf("shop/cart")
                   .ClusterIp(who.cluster_ip, 80)
                   .ExternalIp(who.node, 80)
                   .On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.node, 80))), "sent to a backend");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.node, 22))), "passed");
}

// --- traffic policies

TEST_P(FindTest, ExternalLocalWithoutAPodHereIsADropForClientsOutside) {
  rig().Apply({Cart().ExternalLocal().On({who.At(who.remote, 8080)}).LocalOn({})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "drop: DROP_NO_LOCAL_ENDPOINT");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.node, 30080))), "drop: DROP_NO_LOCAL_ENDPOINT");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.cluster_ip, 80))), "sent to a backend");
}

TEST_P(FindTest, ExternalLocalGivesPodsEveryBackendAndKeepsTheirAddress) {
  rig().Apply({Cart().ExternalLocal().On({who.At(who.remote, 8080)}).LocalOn({})});
  Packet syn = Ip(who.other_pod, who.load_balancer).Tcp(20000, 80).Syn().Link(kOtherPodMac, kHostMac);
  Ran ran = rig().Pod(syn, "pod12");
  EXPECT_EQ(Outcome(ran), "passed to a backend");  // the stack routes what keeps its source
  ExpectPacket(ran.frame, Packet(syn).To(who.remote, 8080));
}

TEST_P(FindTest, ExternalLocalGivesClientsOutsideOnlyPodsHere) {
  rig().Apply({Cart()
                   .ExternalLocal()
                   .On({who.At(who.remote, 8080), who.At(who.pod, 8080) + " local"})
                   .LocalOn({who.At(who.pod, 8080)})});
  for (uint16_t sport = 20000; sport < 20020; ++sport) {
    Packet syn = SynTo(who.load_balancer, 80, sport);
    ExpectPacket(rig().In(syn).frame, Packet(syn).To(who.pod, 8080));
  }
}

TEST_P(FindTest, InternalLocalWithoutAPodHereIsADropOnTheClusterIpAlone) {
  rig().Apply({Cart().InternalLocal().On({who.At(who.remote, 8080)}).LocalOn({})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.cluster_ip, 80))), "drop: DROP_NO_LOCAL_ENDPOINT");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "sent to a backend");
}

TEST_P(FindTest, ALocalPolicyOfAServiceWithoutAnyEndpointIsARejectAndNoDrop) {
  rig().Apply({Cart().ExternalLocal().LocalOn({})});
  EXPECT_EQ(Word(rig().In(SynTo(who.load_balancer, 80))), "REJECT_NO_ENDPOINT");
}

// --- loadBalancerSourceRanges

TEST_P(FindTest, SourceRangesGuardTheLoadBalancersAddressAlone) {
  rig().Apply({Cart().Ranges({who.other_client + (V4() ? "/32" : "/128")}).On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "drop: DROP_SOURCE_RANGE");
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80).From(who.other_client))), "sent to a backend");
  for (const auto& [address, port] :
       {std::pair{who.cluster_ip, 80}, {who.external_ip, 80}, {who.node, 30080}}) {
    EXPECT_EQ(Outcome(rig().In(SynTo(address, static_cast<uint16_t>(port)))), "sent to a backend") << address;
  }
}

TEST_P(FindTest, SourceRangesHoldForPodsToo) {
  rig().Apply({Cart().Ranges({who.other_client + (V4() ? "/32" : "/128")}).On({who.At(who.remote, 8080)})});
  Packet syn = Ip(who.pod, who.load_balancer).Tcp(20000, 80).Syn().Link(kPodMac, kHostMac);
  EXPECT_EQ(Outcome(rig().Pod(syn)), "drop: DROP_SOURCE_RANGE");
}

TEST_P(FindTest, RangesThatNobodyIsInCloseTheLoadBalancer) {
  rig().Apply({Cart().Ranges({}).On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80))), "drop: DROP_SOURCE_RANGE");
}

}  // namespace
}  // namespace fairlead::test
