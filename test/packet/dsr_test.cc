// SPDX-License-Identifier: Apache-2.0
// DSR: to a backend elsewhere in a tunnel; out of it on the backend's node, which answers the client itself.
#include <netinet/in.h>

#include "test/support/ebpf/packet_test.h"
#include "test/support/packet/dissect.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kClientPort = 20000;

class DsrTest : public PacketTest {
 protected:
  std::string N2() const { return V4() ? "192.168.99.12" : "fd00:192:168:99::12"; }
  std::string LocalPod() const { return who.At(who.pod, 8080) + " local"; }
  PortOf ByDsr() const { return Cart().Dsr(); }
  size_t Overhead() const { return V4() ? 20 : 40; }

  // `inner` in a tunnel as a node sends it; by default to here from n2.
  Packet Tunnel(const Packet& inner, const std::string& from, const std::string& to,
                uint16_t port = 8080) const {
    Packet outer = Ip(from, to).Carry(inner).Link(kN2Mac, kNodeMac);
    return V4() ? outer.Id(port).DontFragment() : outer.FlowLabel(port);
  }
  Packet Tunnel(const Packet& inner) const { return Tunnel(inner, N2(), who.pod); }
  Packet SentTo(const std::string& backend, const Packet& packet, uint8_t ttl = 63) const {
    return Tunnel(Packet(packet).Ttl(ttl), who.node, backend).Link(kNodeMac, kN2Mac);
  }
  Packet Data(uint16_t sport = kClientPort) const {
    return Ip(who.client, who.load_balancer).Tcp(sport, 80).AckNumber(1).Payload("GET /");
  }
  Packet Answer() const { return Ip(who.pod, who.client).Tcp(8080, kClientPort).Syn().AckNumber(1001); }
  // It passed as it came: nothing is made of it.
  void ExpectLeftAlone(const Packet& packet) {
    std::vector<std::string> flows = rig().Flows();
    Ran ran = rig().In(packet);
    EXPECT_EQ(ran.Text(), "pass");
    ExpectPacket(ran.frame, packet);
    EXPECT_EQ(rig().Flows(), flows);
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, DsrTest, kEveryPath, PathName);

// --- the node that the client sends to

TEST_P(DsrTest, ABackendElsewhereGetsThePacketAsItWasInATunnel) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080)})});
  for (const std::string& to : {who.load_balancer, who.external_ip}) {
    Ran ran = rig().In(SynTo(to, 80).Tos(0xb9));
    EXPECT_EQ(Outcome(ran), "sent to a backend") << to;
    ExpectPacket(ran.frame, SentTo(who.remote, SynTo(to, 80).Tos(0xb9)).Tos(0xb8));
  }
  Ran ran = rig().In(Data());
  EXPECT_EQ(Outcome(ran), "sent to a backend");
  ExpectPacket(ran.frame, SentTo(who.remote, Data()));
}

TEST_P(DsrTest, ATunnelForANodePortComesFromTheAddressTheClientAsked) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080)})});
  for (const std::string& address : {who.node, who.second_node_address}) {
    Packet syn = SynTo(address, 30080);
    ExpectPacket(rig().In(syn).frame,
                 Tunnel(Packet(syn).Ttl(63), address, who.remote).Link(kNodeMac, kN2Mac));
  }
}

TEST_P(DsrTest, ABackendHereSeesTheClientToo) {
  rig().Apply({ByDsr().On({LocalPod()})});
  Ran ran = rig().In(SynTo(who.load_balancer, 80));
  EXPECT_EQ(Outcome(ran), "passed to a backend");
  ExpectPacket(ran.frame, SynTo(who.load_balancer, 80).To(who.pod, 8080));
}

TEST_P(DsrTest, OptionsAndExtensionHeadersStayInside) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080)})});
  Packet syn = SynTo(who.load_balancer, 80).Payload("x");
  V4() ? syn.Options({7, 3, 4}) : syn.Extension(IPPROTO_DSTOPTS);
  ExpectPacket(rig().In(syn).frame, SentTo(who.remote, syn));
}

TEST_P(DsrTest, WhatDoesNotFitWithItsTunnelIsToldToItsSender) {
  rig().Apply({ByDsr().On({who.At(who.remote_small, 8080)})});
  size_t headers = V4() ? 40 : 60;
  rig().In(SynTo(who.load_balancer, 80));
  Packet fits = Data().Payload(1400 - Overhead() - headers).DontFragment(V4());
  EXPECT_EQ(Outcome(rig().In(fits)), "sent to a backend");
  Packet large = Data().Payload(1400 - Overhead() - headers + 1).DontFragment(V4());
  Ran ran = rig().In(large);
  EXPECT_EQ(Outcome(ran), "sent: TOLD_TOO_BIG");
  auto mtu = static_cast<uint16_t>(1400 - Overhead());
  Packet told = Ip(who.load_balancer, who.client).TooBig(mtu, large, V4() ? 548 : 1232);
  ExpectPacket(ran.frame, V4() ? told.Link(kNodeMac, kGatewayMac).Tos(0xc0).DontFragment()
                               : told.Link(kNodeMac, kGatewayMac));
}

TEST_P(DsrTest, TheLastHopEndsHere) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Outcome(rig().In(SynTo(who.load_balancer, 80).Ttl(1))), "drop: DROP_TTL");
}

TEST_P(DsrTest, TheClientAloneMovesAConnectionOn) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080)})});
  Packet syn = SynTo(who.load_balancer, 80);
  rig().In(syn);
  EXPECT_EQ(rig().StateOf(syn), "syn");
  rig().In(syn);
  EXPECT_EQ(rig().StateOf(syn), "syn");
  rig().In(Data());
  EXPECT_EQ(rig().StateOf(syn), "established");
  EXPECT_EQ(rig().FlowEntries(), 1U);
  rig().In(Data().Fin());
  EXPECT_EQ(rig().StateOf(syn), "closed");
  Packet datagram = Ip(who.client, who.load_balancer).Udp(kClientPort, 53);
  rig().Apply(
      {PortOf("shop/dns").Udp().Dsr().LoadBalancer(who.load_balancer, 53).On({who.At(who.remote, 53)})});
  rig().In(datagram);
  EXPECT_EQ(rig().StateOf(datagram), "unreplied");
  rig().In(datagram);
  EXPECT_EQ(rig().StateOf(datagram), "unreplied");
  rig().Pass(1);
  rig().In(datagram);
  EXPECT_EQ(rig().StateOf(datagram), "stream");
}

TEST_P(DsrTest, FragmentsGoInTunnelsOfTheirOwn) {
  rig().Apply(
      {PortOf("shop/dns").Udp().Dsr().LoadBalancer(who.load_balancer, 53).On({who.At(who.remote, 8080)})});
  Packet datagram = Ip(who.client, who.load_balancer).Udp(kClientPort, 53).Payload(2000);
  for (size_t offset : {0U, 1200U}) {
    Packet piece = Packet(datagram).Fragment(9, offset, 1200);
    ExpectPacket(rig().In(piece).frame, SentTo(who.remote, piece));
  }
}

TEST_P(DsrTest, AnErrorAboutAnAnswerFollowsTheConnectionIntoItsTunnel) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080)})});
  rig().In(SynTo(who.load_balancer, 80));
  Packet answer = Ip(who.load_balancer, who.client).Tcp(80, kClientPort).Ack().Payload(1000);
  Packet error = Ip(who.gateway, who.load_balancer).TooBig(1300, answer, 200);
  ExpectPacket(rig().In(error).frame, SentTo(who.remote, error));
}

TEST_P(DsrTest, TwoNodesWithMaglevChooseTheSameBackends) {
  PortOf maglev = ByDsr().Maglev().On({who.At(who.remote, 8080), who.At(who.other_remote, 8080)});
  std::vector<std::string> chosen[2];
  for (int node : {0, 1}) {
    if (node == 1) {
      UseRig({.configure = [](fairlead_config& config) { config.flow_keys[0] ^= 0x5555555555555550ULL; },
              .configured = "another node"});
    }
    rig().Apply({maglev});
    for (uint16_t sport = 20000; sport < 20100; ++sport)
      chosen[node].push_back(Brief(rig().In(SynTo(who.load_balancer, 80, sport)).frame));
  }
  EXPECT_EQ(chosen[0], chosen[1]);
}

// --- the backend's node

TEST_P(DsrTest, APacketForABackendHereIsTakenOutAndItsAnswerComesFromTheService) {
  rig().Apply({ByDsr().On({who.At(who.remote, 8080), LocalPod()})});
  Packet syn = SynTo(who.load_balancer, 80).Ttl(63);
  Ran ran = rig().In(Tunnel(syn));
  EXPECT_EQ(Outcome(ran), "passed: DECAPSULATED") << ran;
  ExpectPacket(ran.frame, Packet(syn).To(who.pod, 8080).Link(kN2Mac, kNodeMac));
  EXPECT_EQ(rig().StateOf(syn), "syn");

  Ran answer = rig().Egress(Answer());
  EXPECT_EQ(answer.Text(), "pass: egress RETURNED");
  ExpectPacket(answer.frame, Answer().From(who.load_balancer, 80));

  Ran data = rig().In(Tunnel(Data()));
  EXPECT_EQ(Outcome(data), "passed: DECAPSULATED");
  EXPECT_EQ(rig().StateOf(syn), "established");
  ExpectPacket(data.frame, Data().To(who.pod, 8080).Link(kN2Mac, kNodeMac));
}

TEST_P(DsrTest, APacketForANodePortOfAnotherNodeIsTakenOutIfThatNodeSentIt) {
  rig().Apply({ByDsr().On({LocalPod()})});
  Packet syn = SynTo(N2(), 30080);
  ExpectLeftAlone(Tunnel(syn, V4() ? "192.168.99.13" : "fd00:192:168:99::13", who.pod));
  Ran ran = rig().In(Tunnel(syn));
  EXPECT_EQ(Outcome(ran), "passed: DECAPSULATED");
  ExpectPacket(ran.frame, Packet(syn).To(who.pod, 8080).Link(kN2Mac, kNodeMac));
  ExpectPacket(rig().Egress(Answer()).frame, Answer().From(N2(), 30080));
}

TEST_P(DsrTest, AConnectionOutlivesItsService) {
  rig().Apply({ByDsr().On({LocalPod()})});
  rig().In(Tunnel(SynTo(who.load_balancer, 80)));
  rig().Egress(Answer());
  rig().Apply({Gone(ByDsr())});
  EXPECT_EQ(Outcome(rig().In(Tunnel(Data()))), "passed: DECAPSULATED");
  ExpectLeftAlone(Tunnel(Data(kClientPort + 1)).Ttl(9));
}

TEST_P(DsrTest, TheSenderSaysWhichBackendAFlowHas) {
  rig().Apply({ByDsr().On({LocalPod(), who.At(who.other_pod, 8080) + " local"})});
  rig().In(Tunnel(SynTo(who.load_balancer, 80)));
  Ran ran = rig().In(Tunnel(SynTo(who.load_balancer, 80), N2(), who.other_pod));
  EXPECT_EQ(Outcome(ran), "passed: DECAPSULATED");
  ExpectPacket(ran.frame, SynTo(who.load_balancer, 80).To(who.other_pod, 8080).Link(kN2Mac, kNodeMac));
  EXPECT_EQ(rig().FlowEntries(), 2U);
}

TEST_P(DsrTest, NobodyMakesTheNodeUnpackAnythingElse) {
  rig().Apply({ByDsr().On({LocalPod(), who.At(who.remote, 8080)}),
               PortOf("shop/plain").LoadBalancer(who.other_load_balancer, 80).On({LocalPod()})});
  Packet syn = SynTo(who.load_balancer, 80);
  ExpectLeftAlone(Tunnel(syn, N2(), who.pod, 8081));                      // not the backend's port
  ExpectLeftAlone(Tunnel(syn, N2(), who.pod, 0));                         // no port at all
  ExpectLeftAlone(Tunnel(syn, N2(), who.other_pod));                      // not a backend
  ExpectLeftAlone(Tunnel(syn, N2(), who.remote));                         // a backend elsewhere
  ExpectLeftAlone(Tunnel(SynTo(who.load_balancer, 81)));                  // no such frontend
  ExpectLeftAlone(Tunnel(SynTo(who.cluster_ip, 80)));                     // no DSR on cluster IPs
  ExpectLeftAlone(Tunnel(SynTo(who.other_load_balancer, 80)));            // no DSR with this Service
  ExpectLeftAlone(Tunnel(SynTo(who.pod, 8080)));                          // straight to the backend
  ExpectLeftAlone(Tunnel(Tunnel(syn)));                                   // a tunnel in a tunnel
  ExpectLeftAlone(Tunnel(Ip(who.client, who.load_balancer).Ping(1, 1)));  // a ping
  ExpectLeftAlone(Tunnel(syn).Fragment(3, 0, 64));                        // part of a tunnel
  if (V4()) ExpectLeftAlone(Tunnel(syn).Options({7, 3, 4}));
}

TEST_P(DsrTest, ATunnelThatEndsEarlyIsLeftAlone) {
  rig().Apply({ByDsr().On({LocalPod()})});
  Packet whole = Tunnel(SynTo(who.load_balancer, 80));
  Bytes frame = whole.Frame();
  for (size_t size = 14 + Overhead(); size < frame.size(); ++size) {
    Ran ran = rig().In(std::span(frame).first(size));
    EXPECT_EQ(ran.Text(), "pass") << size;
    EXPECT_EQ(ran.frame, Bytes(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size)));
  }
}

TEST_P(DsrTest, FragmentsAreTakenOutOfTheirTunnels) {
  rig().Apply({PortOf("shop/dns").Udp().Dsr().LoadBalancer(who.load_balancer, 53).On({LocalPod()})});
  Packet datagram = Ip(who.client, who.load_balancer).Udp(kClientPort, 53).Payload(2000);
  Packet second = Packet(datagram).Fragment(9, 1200, 1200);
  ExpectLeftAlone(Tunnel(second));
  for (size_t offset : {0U, 1200U}) {
    Packet piece = Packet(datagram).Fragment(9, offset, 1200);
    Ran ran = rig().In(Tunnel(piece));
    EXPECT_EQ(Outcome(ran), "passed: DECAPSULATED");
    ExpectPacket(ran.frame, Packet(piece).To(who.pod, 8080).Link(kN2Mac, kNodeMac));
  }
}

TEST_P(DsrTest, AnErrorInATunnelReachesTheBackendThatItIsAbout) {
  rig().Apply({ByDsr().On({LocalPod()})});
  rig().In(Tunnel(SynTo(who.load_balancer, 80)));
  Packet answer = Ip(who.load_balancer, who.client).Tcp(80, kClientPort).Ack().Payload(1000);
  Packet error = Ip(who.gateway, who.load_balancer).TooBig(1300, answer, 200);
  Ran ran = rig().In(Tunnel(error));
  EXPECT_EQ(Outcome(ran), "passed: ICMP_TRANSLATED");
  ExpectPacket(
      ran.frame,
      Ip(who.gateway, who.pod).TooBig(1300, Packet(answer).From(who.pod, 8080), 200).Link(kN2Mac, kNodeMac));
}

TEST_P(DsrTest, AnErrorInATunnelAboutNoFlowIsLeftAlone) {
  rig().Apply({ByDsr().On({LocalPod()})});
  Packet answer = Ip(who.load_balancer, who.client).Tcp(80, kClientPort).Ack();
  ExpectLeftAlone(Tunnel(Ip(who.gateway, who.load_balancer).TooBig(1300, answer)));
}

}  // namespace
}  // namespace fairlead::test
