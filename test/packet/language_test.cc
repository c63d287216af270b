// SPDX-License-Identifier: Apache-2.0
// The packets of these tests themselves: known bytes, and what a difference is called.
#include <netinet/in.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/packet/dissect.h"
#include "test/support/packet/expect.h"
#include "test/support/packet/packet.h"

namespace fairlead::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(PacketLanguage, SumsAsTheExampleOfRfc1071) {
  const Bytes example = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(Checksum({example}), static_cast<uint16_t>(~0xddf2));
}

// The header of the example in RFC 1071's descendants everywhere: 172.16.10.99 > 172.16.10.12, checksum b1e6.
TEST(PacketLanguage, MakesAKnownIpv4Header) {
  Bytes ip = Ip("172.16.10.99", "172.16.10.12").Tcp(1, 2).Payload(20).Id(0x1c46).DontFragment().FromIp();
  ip.resize(20);
  EXPECT_EQ(ip, (Bytes{0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06,
                       0xb1, 0xe6, 0xac, 0x10, 0x0a, 0x63, 0xac, 0x10, 0x0a, 0x0c}));
}

TEST(PacketLanguage, VerifiesWhatItMakes) {
  for (const Packet& packet :
       {Ip("203.0.113.2", "198.51.100.4").Tcp(1, 2).Syn().TcpOptions({2, 4, 5, 180}).Payload("odd"),
        Ip("203.0.113.2", "198.51.100.4").Udp(1, 2).Options({7, 3, 4}).Payload(33),
        Ip("fd00::1", "fd00::2").Tcp(1, 2).Ack().Extension(IPPROTO_HOPOPTS).Extension(IPPROTO_DSTOPTS, 24),
        Ip("fd00::1", "fd00::2").Udp(1, 2).Payload("x"), Ip("fd00::1", "fd00::2").Ping(1, 2).Payload("ping"),
        Ip("203.0.113.9", "203.0.113.2").PortUnreachable(Ip("203.0.113.2", "198.51.100.4").Udp(1, 2), 28)}) {
    ExpectRightChecksums(packet.Frame());
  }
}

TEST(PacketLanguage, NamesTheFieldThatDiffers) {
  Packet packet = Ip("203.0.113.2", "198.51.100.4").Tcp(1, 80).Syn();
  EXPECT_THAT(Differences(packet.Frame(), packet.Frame()), IsEmpty());
  EXPECT_THAT(Differences(Packet(packet).Link(kNodeMac, kGatewayMac).Frame(), packet.Frame()),
              ElementsAre("link destination: got 02:00:00:00:00:01, want 02:00:00:00:00:11",
                          "link source: got 02:00:00:00:00:11, want 02:00:00:00:00:01"));
  EXPECT_THAT(Differences(Packet(packet).Payload("a").Frame(), packet.Frame()),
              testing::Contains("payload: got 1 bytes: 61, want none"));
}

TEST(PacketLanguage, FindsAWrongChecksum) {
  Bytes frame = Ip("fd00::1", "fd00::2").Udp(1, 2).BreakTransportChecksum().Frame();
  std::vector<Field> fields = Dissect(frame);
  EXPECT_TRUE(std::any_of(fields.begin(), fields.end(), [](const Field& field) {
    return field.name == "checksum" && field.value.find("(wrong") != std::string::npos;
  }));
}

TEST(PacketLanguage, CutsADatagramIntoItsFragments) {
  Packet whole = Ip("fd00::1", "fd00::2").Udp(1, 2).Payload(100);
  Bytes first = Packet(whole).Fragment(7, 0, 64).FromIp(), last = Packet(whole).Fragment(7, 64, 64).FromIp();
  Bytes uncut = whole.FromIp();
  ASSERT_EQ(first.size(), 48U + 64);
  ASSERT_EQ(last.size(), 48U + 44);
  Bytes together(first.begin() + 48, first.end());
  together.insert(together.end(), last.begin() + 48, last.end());
  EXPECT_EQ(together, Bytes(uncut.begin() + 40, uncut.end()));
}

}  // namespace
}  // namespace fairlead::test
