// SPDX-License-Identifier: Apache-2.0
// Packets that end early, lie about lengths, or carry headers that are rare; and checksums.
#include <netinet/in.h>

#include <random>

#include "test/support/ebpf/packet_test.h"
#include "test/support/packet/dissect.h"

namespace fairlead::test {
namespace {

class MalformedTest : public PacketTest {
 protected:
  static constexpr size_t kEthernet = 14;

  void SetUp() override {
    PacketTest::SetUp();
    if (IsSkipped()) return;
    rig().Apply({Cart().On({who.At(who.remote, 8080)}), PortOf("shop/dns:dns")
                                                            .Udp()
                                                            .ClusterIp(who.cluster_ip, 53)
                                                            .LoadBalancer(who.load_balancer, 53)
                                                            .NodePort(30053)
                                                            .On({who.At(who.remote, 53)})});
  }
  Packet Datagram() const { return Ip(who.client, who.load_balancer).Udp(20000, 53).Payload("a query"); }
  // As the backend on n2 gets it.
  Packet Translated(const Packet& packet, uint16_t port) const {
    return Packet(packet).From(who.node, 20000).To(who.remote, port).Ttl(63).Link(kNodeMac, kN2Mac);
  }
  size_t IpHeader() const { return V4() ? 20 : 40; }
  // For an address of a Service: dropped. For the node's own: its stack judges.
  void ExpectRefused(const Packet& packet, const std::string& what) {
    Ran ran = rig().In(packet);
    EXPECT_EQ(Outcome(ran), "drop: DROP_MALFORMED") << what;
    Packet to_node = Packet(packet).To(who.node);
    ran = rig().In(to_node);
    EXPECT_EQ(Outcome(ran), "passed") << what;
    ExpectPacket(ran.frame, to_node);
    EXPECT_EQ(rig().FlowEntries(), 0U) << what;
  }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, MalformedTest, kEveryPath, PathName);
class ExtensionHeaderTest : public MalformedTest {};
INSTANTIATE_TEST_SUITE_P(Ipv6Only, ExtensionHeaderTest, kIpv6Only, PathName);

TEST_P(MalformedTest, APacketCutShortInItsHeadersGoesNowhere) {
  Packet syn = SynTo(who.load_balancer, 80);
  for (const auto& [whole, headers] :
       {std::pair{syn, IpHeader() + 20},
        {Datagram(), IpHeader() + 8},
        {V4() ? SynTo(who.load_balancer, 80).Options({7, 7, 4, 0, 0, 0, 0})
              : SynTo(who.load_balancer, 80).Extension(IPPROTO_HOPOPTS).Extension(IPPROTO_DSTOPTS, 16),
         IpHeader() + (V4() ? 8U : 24U) + 20}}) {
    Bytes frame = whole.Frame();
    // The kernel runs TC on no packet that ends in its IP header.
    for (size_t size = kEthernet + (GetParam().xdp ? 1 : IpHeader()); size < kEthernet + headers; ++size) {
      Bytes cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
      Ran ran = size < kEthernet + IpHeader() ? rig().Run("xdp_uplink", cut, "eth0") : rig().In(cut);
      EXPECT_TRUE(Outcome(ran) == "passed" || Outcome(ran) == "drop: DROP_MALFORMED") << size << ": " << ran;
      EXPECT_EQ(ran.frame, cut) << size;
      EXPECT_EQ(rig().FlowEntries(), 0U) << size;
    }
  }
}

TEST_P(MalformedTest, APacketCutShortBehindItsAddressesIsNotLetPastAServicesAddress) {
  Bytes frame = SynTo(who.load_balancer, 80).Frame();
  for (size_t size = kEthernet + IpHeader(); size < kEthernet + IpHeader() + 20; ++size) {
    EXPECT_EQ(Outcome(rig().In(std::span(frame).subspan(0, size))), "drop: DROP_MALFORMED") << size;
  }
}

TEST_P(MalformedTest, HeadersThatContradictThemselvesAreRefused) {
  ExpectRefused(SynTo(who.load_balancer, 80).ClaimTransportWords(4), "TCP header of 4 words");
  ExpectRefused(SynTo(who.load_balancer, 80).ClaimTransportWords(0), "TCP header of 0 words");
  if (!V4()) return;
  ExpectRefused(SynTo(who.load_balancer, 80).ClaimHeaderWords(4), "IP header of 4 words");
  ExpectRefused(SynTo(who.load_balancer, 80).ClaimHeaderWords(0), "IP header of 0 words");
  ExpectRefused(SynTo(who.load_balancer, 80).ClaimHeaderWords(15), "IP header beyond the packet");
  ExpectRefused(SynTo(who.load_balancer, 80).ClaimIpLength(19), "a packet shorter than its header");
}

TEST_P(MalformedTest, AnotherVersionThanTheFramesTypeSaysIsRefusedOrPasses) {
  Bytes frame = SynTo(who.load_balancer, 80).Frame();
  frame[kEthernet] = static_cast<uint8_t>(frame[kEthernet] ^ 0x20);  // 4 becomes 6, 6 becomes 4
  Ran ran = rig().In(frame);
  EXPECT_EQ(Outcome(ran), "drop: DROP_MALFORMED");
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(MalformedTest, ALengthThatEndsBeforeTheTransportHeaderIsRefused) {
  for (size_t transport : {0U, 4U, 7U, 19U}) {
    auto length = static_cast<uint16_t>(V4() ? 20 + transport : transport);
    if (length == 0) continue;  // IPv6: a jumbogram
    ExpectRefused(SynTo(who.load_balancer, 80).ClaimIpLength(length),
                  fmt::format("{} bytes of TCP", transport));
  }
}

TEST_P(MalformedTest, ADatagramsWrongLengthIsTheBackendsToJudge) {
  for (unsigned length : {0U, 7U, 8U, 60000U}) {
    Packet packet = Datagram().ClaimUdpLength(static_cast<uint16_t>(length));
    ExpectPacket(rig().In(packet).frame, Translated(packet, 53));
  }
}

TEST_P(MalformedTest, PaddingBehindThePacketIsKept) {
  Bytes frame = SynTo(who.load_balancer, 80).Frame(),
        want = Translated(SynTo(who.load_balancer, 80), 8080).Frame();
  frame.resize(frame.size() + 6);
  want.resize(want.size() + 6);
  EXPECT_EQ(rig().In(frame).frame, want);
}

// --- headers that are rare

TEST_P(MalformedTest, OptionsAndExtensionHeadersAreKept) {
  Packet packet = SynTo(who.load_balancer, 80);
  if (V4()) {
    packet.Options({1, 1, 7, 15, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  } else {
    packet.Extension(IPPROTO_HOPOPTS, 16).Extension(IPPROTO_DSTOPTS).Extension(IPPROTO_ROUTING, 24);
  }
  Ran ran = rig().In(packet);
  EXPECT_EQ(Outcome(ran), "sent to a backend");
  ExpectPacket(ran.frame, Translated(packet, 8080));
}

TEST_P(ExtensionHeaderTest, AsManyExtensionHeadersAsAllowedAreReadAndOneMoreIsRefused) {
  for (unsigned headers = 1; headers <= EXTENSION_HEADERS_MAX + 1; ++headers) {
    Packet packet = SynTo(who.load_balancer, 80);
    for (unsigned i = 0; i < headers; ++i) packet.Extension(IPPROTO_DSTOPTS);
    if (headers <= EXTENSION_HEADERS_MAX) {
      ExpectPacket(rig().In(packet).frame, Translated(packet, 8080));
    } else {
      EXPECT_EQ(Outcome(rig().In(packet)), "drop: DROP_MALFORMED");
    }
  }
}

TEST_P(ExtensionHeaderTest, AnExtensionHeaderBeyondThePacketIsRefused) {
  Bytes frame = SynTo(who.load_balancer, 80).Extension(IPPROTO_HOPOPTS).Frame();
  for (uint8_t length : {uint8_t{6}, uint8_t{100}, uint8_t{255}}) {
    frame[kEthernet + 40 + 1] = length;
    EXPECT_EQ(Outcome(rig().In(frame)), "drop: DROP_MALFORMED") << unsigned{length};
  }
  EXPECT_EQ(rig().FlowEntries(), 0U);
}

TEST_P(ExtensionHeaderTest, AnExtensionHeaderOfLengthZeroInALoopEnds) {
  Packet packet = SynTo(who.load_balancer, 80);
  for (int i = 0; i < 40; ++i) packet.Extension(IPPROTO_HOPOPTS);
  EXPECT_EQ(Outcome(rig().In(packet)), "drop: DROP_MALFORMED");
}

TEST_P(ExtensionHeaderTest, AnAtomicFragmentIsAWholePacket) {
  Packet packet = SynTo(who.load_balancer, 80).Fragment(7, 0, 1000);
  ExpectPacket(rig().In(packet).frame, Translated(packet, 8080));
}

TEST_P(MalformedTest, TrafficClassAndFlowLabelAreKept) {
  Packet packet = SynTo(who.load_balancer, 80).Tos(0xb9).Id(4711).DontFragment().FlowLabel(0x12345);
  ExpectPacket(rig().In(packet).frame, Translated(packet, 8080));
}

// --- checksums

TEST_P(MalformedTest, ADatagramWithoutAChecksumStaysWithout) {
  Packet packet = Datagram().NoChecksum();
  ExpectPacket(rig().In(packet).frame, Translated(packet, 53));
}

TEST_P(MalformedTest, ABrokenChecksumStaysBroken) {
  for (const Packet& packet : {SynTo(who.load_balancer, 80).Payload("abc").BreakTransportChecksum(),
                               Datagram().BreakTransportChecksum()}) {
    Ran ran = rig().In(packet);
    EXPECT_EQ(Outcome(ran), "sent to a backend");
    std::vector<Field> fields = Dissect(ran.frame);
    EXPECT_TRUE(std::any_of(fields.begin(), fields.end(), [](const Field& field) {
      return field.name == "checksum" && field.value.find("(wrong") != std::string::npos;
    }));
  }
}

TEST_P(MalformedTest, ADatagramsChecksumIsNeverZeroOnTheWire) {
  // Of 65536 payloads one has, translated, the sum whose checksum is 0: it is sent as ffff (RFC 768).
  Packet packet = Ip(who.client, who.load_balancer).Udp(20000, 53).Payload(2);
  Bytes translated = Translated(packet, 53).Frame();
  size_t udp = kEthernet + IpHeader();
  auto rest = static_cast<uint16_t>(U16At(translated, udp + 6) + U16At(translated, udp + 8));
  if (rest < U16At(translated, udp + 6)) ++rest;
  std::string payload = {static_cast<char>(rest >> 8), static_cast<char>(rest)};
  packet.Payload(payload);
  Bytes want = Translated(packet, 53).Frame();
  ASSERT_EQ(U16At(want, udp + 6), 0xffff);
  ExpectPacket(rig().In(packet).frame, Translated(packet, 53));
}

TEST_P(MalformedTest, ChecksumsAreRightWhateverThePacketCarries) {
  std::minstd_rand random(4711);
  for (int i = 0; i < 200; ++i) {
    auto port = static_cast<uint16_t>(1024 + random() % 28000);
    Packet packet = Ip(who.client, who.load_balancer);
    if (i % 2) {
      packet.Tcp(port, 80).Syn().Seq(static_cast<uint32_t>(random())).Window(static_cast<uint16_t>(random()));
    } else {
      packet.Udp(port, 53);
    }
    packet.Payload(random() % 1300).Ttl(static_cast<uint8_t>(2 + random() % 250));
    Ran there = rig().In(packet);
    ASSERT_EQ(Outcome(there), "sent to a backend");
    ExpectRightChecksums(there.frame);
  }
}

}  // namespace
}  // namespace fairlead::test
