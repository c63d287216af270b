// SPDX-License-Identifier: Apache-2.0
// ICMP errors about packets of flows reach whoever sent those packets, in words he knows. Whole packets.
#include "test/support/ebpf/packet_test.h"

#include <netinet/in.h>

namespace fairlead::test {
namespace {

constexpr uint16_t kPort = 20000, kMtu = 1300;
constexpr size_t kTcpStart = 8;  // of TCP's header: what routers quoted once (RFC 792)

class IcmpTest : public PacketTest {
 protected:
  const std::string router_ = V4() ? "192.168.99.12" : "fd00:192:168:99::12";
  const std::string outer_router_ = V4() ? "203.0.113.99" : "fd00:203:0:113::99";

  void ServeOn(const std::string& backend, bool keep_source = false) {
    PortOf cart = Cart(), dns = PortOf("shop/dns:dns").Udp().LoadBalancer(who.load_balancer, 53);
    const std::string local = backend == who.pod ? " local" : "";
    const std::string web = who.At(backend, 8080) + local, names = who.At(backend, 5353) + local;
    if (keep_source) {
      rig().Apply({cart.LocalOn({web}).ExternalLocal(), dns.LocalOn({names}).ExternalLocal()});
    } else {
      rig().Apply({cart.On({web}), dns.On({names})});
    }
  }
  // What the client sent, and that packet as it left for the backend.
  Packet Sent(bool udp = false) const {
    Packet packet = Ip(who.client, who.load_balancer).DontFragment(V4()).Payload(600);
    return udp ? packet.Udp(kPort, 53) : packet.Tcp(kPort, 80).Syn();
  }
  Packet Translated(const Packet& sent, const std::string& source, const std::string& backend,
                    bool udp = false) const {
    return Packet(sent).Ttl(63).From(source, kPort).To(backend, udp ? 5353 : 8080);
  }
  // An answer of the backend, and that packet as the client gets it.
  Packet Answer(const std::string& backend, const std::string& to) const {
    return Ip(backend, to).Tcp(8080, kPort).Ack().DontFragment(V4()).Payload(600);
  }
  Packet Returned(const Packet& answer) const {
    return Packet(answer).From(who.load_balancer, 80).To(who.client, kPort);
  }
  // As it leaves by a device for the client.
  static Packet ToClient(Packet packet) { return packet.Ttl(63).Link(kNodeMac, kGatewayMac); }
  static size_t IpHeader(bool v4) { return v4 ? 20 : 40; }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, IcmpTest, kEveryPath, PathName);

TEST_P(IcmpTest, ARouterBeforeTheBackendReachesTheClientInTheServicesName) {
  ServeOn(who.remote);
  for (bool udp : {false, true}) {
    Packet sent = Sent(udp), out = Translated(sent, who.node, who.remote, udp);
    rig().In(sent);
    Ran ran = rig().In(Ip(router_, who.node).TooBig(kMtu, out, 500).Link(kN2Mac, kNodeMac));
    EXPECT_EQ(ran.Text(), "sent: uplink ICMP_TRANSLATED");
    Packet quoted = Packet(sent).Ttl(63);
    ExpectPacket(ran.frame, ToClient(Ip(who.load_balancer, who.client).TooBig(kMtu, quoted, 500)));
  }
}

TEST_P(IcmpTest, EveryKindOfErrorIsTranslated) {
  ServeOn(who.remote);
  Packet sent = Sent(), out = Translated(sent, who.node, who.remote), quoted = Packet(sent).Ttl(63);
  rig().In(sent);
  Packet error = Ip(who.remote, who.node), want = Ip(who.load_balancer, who.client);
  const Bytes about = out.FromIp(), known = quoted.FromIp();
  for (uint8_t type : V4() ? std::vector<uint8_t>{3, 11, 12} : std::vector<uint8_t>{1, 2, 3, 4}) {
    Ran ran = rig().In(Packet(error).Icmp(type, 1, 0, about));
    EXPECT_EQ(Outcome(ran), "sent: ICMP_TRANSLATED") << int{type};
    ExpectPacket(ran.frame, ToClient(Packet(want).Icmp(type, 1, 0, known)));
  }
}

TEST_P(IcmpTest, OtherMessagesPassAsTheyAre) {
  ServeOn(who.remote);
  Packet sent = Sent();
  rig().In(sent);
  Bytes about = Translated(sent, who.node, who.remote).FromIp();
  for (uint8_t type : V4() ? std::vector<uint8_t>{0, 4, 5, 13} : std::vector<uint8_t>{129, 134, 137}) {
    Packet message = Ip(who.remote, who.node).Icmp(type, 0, 0, about);
    Ran ran = rig().In(message);
    EXPECT_EQ(ran.Text(), "pass") << int{type};
    ExpectPacket(ran.frame, message);
  }
}

TEST_P(IcmpTest, TheStartOfTheQuotedTransportHeaderIsEnough) {
  ServeOn(who.remote);
  Packet sent = Sent();
  rig().In(sent);
  size_t most = IpHeader(V4()) + kTcpStart;
  Ran ran = rig().In(Ip(router_, who.node).TimeExceeded(Translated(sent, who.node, who.remote), most));
  EXPECT_EQ(Outcome(ran), "sent: ICMP_TRANSLATED");
  ExpectPacket(ran.frame,
               ToClient(Ip(who.load_balancer, who.client).TimeExceeded(Packet(sent).Ttl(63), most)));
}

TEST_P(IcmpTest, HalfAQuotedHeaderIsDroppedForAServiceAndPassesForTheNode) {
  ServeOn(who.remote);
  Packet sent = Sent(), out = Translated(sent, who.node, who.remote);
  rig().In(sent);
  for (size_t most = 0; most < IpHeader(V4()) + kTcpStart; ++most) {
    EXPECT_EQ(rig().In(Ip(router_, who.node).TimeExceeded(out, most)).Text(), "pass") << most;
    EXPECT_EQ(Outcome(rig().In(Ip(router_, who.load_balancer).TimeExceeded(out, most))),
              "drop: DROP_MALFORMED")
        << most;
  }
}

TEST_P(IcmpTest, AFrameThatEndsAnywhereIsNeverHalfTranslated) {
  ServeOn(who.remote);
  Packet sent = Sent();
  rig().In(sent);
  Bytes whole = Ip(router_, who.node).TimeExceeded(Translated(sent, who.node, who.remote), 100).Frame();
  for (size_t size = 14 + IpHeader(V4()); size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    Ran ran = rig().In(cut);
    if (ran.action == "pass") {
      EXPECT_EQ(ran.frame, cut) << size;
    } else {
      EXPECT_GE(size, 14 + 2 * IpHeader(V4()) + 8 + kTcpStart);
    }
  }
}

TEST_P(IcmpTest, QuotedOptionsAndExtensionHeadersArePassedOver) {
  ServeOn(who.remote);
  Packet sent = V4() ? Sent().Options({7, 7, 4, 0, 0, 0, 0}) : Sent().Extension(IPPROTO_HOPOPTS, 16);
  rig().In(sent);
  Ran ran = rig().In(Ip(router_, who.node).TimeExceeded(Translated(sent, who.node, who.remote), 200));
  EXPECT_EQ(Outcome(ran), "sent: ICMP_TRANSLATED");
  ExpectPacket(ran.frame,
               ToClient(Ip(who.load_balancer, who.client).TimeExceeded(Packet(sent).Ttl(63), 200)));
}

TEST_P(IcmpTest, AQuotedDatagramWithoutChecksumStaysWithoutOne) {
  if (!V4()) GTEST_SKIP() << "UDP over IPv6 has a checksum";
  ServeOn(who.remote);
  Packet sent = Sent(true).NoChecksum();
  rig().In(sent);
  Ran ran = rig().In(Ip(router_, who.node).PortUnreachable(Translated(sent, who.node, who.remote, true), 28));
  ExpectPacket(ran.frame,
               ToClient(Ip(who.load_balancer, who.client).PortUnreachable(Packet(sent).Ttl(63), 28)));
}

TEST_P(IcmpTest, ALocalBackendsErrorIsUndoneWhereItLeaves) {
  ServeOn(who.pod, true);
  Packet sent = Sent(true), out = Translated(sent, who.client, who.pod, true).Ttl(64);
  EXPECT_EQ(Outcome(rig().In(sent)), "passed to a backend");
  Packet error = Ip(who.pod, who.client).PortUnreachable(out, 200);
  EXPECT_EQ(rig().Pod(Packet(error).Link(kPodMac, kHostMac)).Text(), "pass");
  Ran ran = rig().Egress(Packet(error).Ttl(63).Link(kNodeMac, kGatewayMac));
  EXPECT_EQ(ran.Text(), "pass: egress ICMP_TRANSLATED");
  ExpectPacket(ran.frame, ToClient(Ip(who.load_balancer, who.client).PortUnreachable(sent, 200)));
}

TEST_P(IcmpTest, TheNodesOwnErrorAboutALocalBackendComesFromTheService) {
  ServeOn(who.pod, true);
  Packet sent = Sent();
  rig().In(sent);
  Packet out = Translated(sent, who.client, who.pod).Ttl(63);
  Ran ran = rig().Egress(Ip(who.node, who.client).TooBig(kMtu, out, 200).Link(kNodeMac, kGatewayMac));
  EXPECT_EQ(ran.Text(), "pass: egress ICMP_TRANSLATED");
  Packet want = Ip(who.load_balancer, who.client).TooBig(kMtu, Packet(sent).Ttl(63), 200);
  ExpectPacket(ran.frame, want.Link(kNodeMac, kGatewayMac));
}

TEST_P(IcmpTest, AMasqueradedLocalBackendsErrorIsUndoneAtItsDevice) {
  ServeOn(who.pod);
  Packet sent = Sent(true);
  EXPECT_EQ(Outcome(rig().In(sent)), "sent to a backend");
  Packet out = Translated(sent, who.node, who.pod, true);
  Ran ran = rig().Pod(Ip(who.pod, who.node).PortUnreachable(out, 200).Link(kPodMac, kHostMac));
  EXPECT_EQ(ran.Text(), "sent: pod ICMP_TRANSLATED");
  Packet want = Ip(who.load_balancer, who.client).PortUnreachable(Packet(sent).Ttl(63), 200);
  ExpectPacket(ran.frame, ToClient(want));
}

TEST_P(IcmpTest, AnErrorAboutAnAnswerReachesABackendElsewhereFromTheNode) {
  ServeOn(who.remote);
  rig().In(Sent());
  Packet answer = Answer(who.remote, who.node);
  Ran ran = rig().In(Ip(outer_router_, who.load_balancer).TooBig(kMtu, Returned(answer), 300));
  EXPECT_EQ(ran.Text(), "sent: uplink ICMP_TRANSLATED");
  Packet want = Ip(who.node, who.remote).Ttl(63).TooBig(kMtu, answer, 300).Link(kNodeMac, kN2Mac);
  ExpectPacket(ran.frame, want);
}

TEST_P(IcmpTest, AnErrorAboutALocalBackendsAnswerKeepsItsSender) {
  ServeOn(who.pod, true);
  rig().In(Sent());
  Packet answer = Answer(who.pod, who.client);
  Packet error = Ip(outer_router_, who.load_balancer).TooBig(kMtu, Returned(answer), 300);
  Ran ran = rig().In(error);
  EXPECT_EQ(ran.Text(), "pass: uplink ICMP_TRANSLATED");
  ExpectPacket(ran.frame, Ip(outer_router_, who.pod).TooBig(kMtu, answer, 300));
}

TEST_P(IcmpTest, AnErrorWhoseHopsEndHereIsDropped) {
  ServeOn(who.remote);
  Packet sent = Sent();
  rig().In(sent);
  Packet error = Ip(router_, who.node).TimeExceeded(Translated(sent, who.node, who.remote), 100).Ttl(1);
  EXPECT_EQ(Outcome(rig().In(error)), "drop: DROP_TTL");
}

TEST_P(IcmpTest, ErrorsAboutOtherPacketsPass) {
  ServeOn(who.remote);
  Packet sent = Sent();
  rig().In(sent);
  Packet out = Translated(sent, who.node, who.remote);
  for (const Packet& about : {Packet(out).From(who.node, kPort + 1), Packet(out).To(who.remote, 8081),
                              Ip(who.node, who.remote).Ping(1, 1), Packet(out).Fragment(7, 104, 104)}) {
    Packet error = Ip(router_, who.node).TimeExceeded(about, 100);
    Ran ran = rig().In(error);
    EXPECT_EQ(ran.Text(), "pass");
    ExpectPacket(ran.frame, error);
  }
}

TEST_P(IcmpTest, AForgedErrorDoesNotChangeTheFlow) {
  ServeOn(who.remote);
  Packet sent = Sent();
  rig().In(sent);
  std::vector<std::string> before = rig().Flows();
  rig().In(Ip(router_, who.node).Unreachable(1, Translated(sent, who.node, who.remote), 100));
  EXPECT_EQ(rig().Flows(), before);
}

}  // namespace
}  // namespace fairlead::test
