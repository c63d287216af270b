// SPDX-License-Identifier: Apache-2.0
// A datagram in fragments that come in every order, and the backend that has to put them together.
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <gmock/gmock.h>

#include "test/support/node_fixture.h"
#include "test/support/packet/packet.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kClientPort = 20500;
constexpr size_t kPiece = 1000;

class FragmentTest : public NodeTest {
 protected:
  static Service Shop() {
    return Cart(30001).LoadBalancerIp("198.51.100.4").LoadBalancerIp("fd00:198:51:100::4");
  }

  // Sends the IP packet as it is.
  static void SendRaw(const Namespace& from, const Packet& packet, const Target& to) {
    const bool v4 = to.address.GetFamily() == Family::kIpv4;
    NetnsScope inside(from);
    Fd raw(::socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    const Bytes bytes = packet.FromIp();
    SocketAddress at = SocketAddress::Of({to.address, 0}, v4 ? AF_INET : AF_INET6);
    ASSERT_EQ(::sendto(raw.Get(), bytes.data(), bytes.size(), 0, at.Raw(), at.length),
              static_cast<ssize_t>(bytes.size()))
        << std::strerror(errno);
  }

  void ExpectAnswersInEveryOrder(std::string_view source, std::string_view frontend) {
    const Target to = At(std::string(frontend));
    // The pod's device gets its program a moment after the backend; a connection waits for that, a datagram
    // not.
    ASSERT_EQ(Word(Connect(Outside(), Proto::kTcp, to).end), Word(End::kReached)) << frontend;
    std::array<size_t, 3> order{0, 1, 2};
    uint32_t id = 100;
    do {
      SCOPED_TRACE(fmt::format("{}, order {}", frontend, fmt::join(order, " ")));
      Client client(Outside(), Proto::kUdp, to.address.GetFamily(), {.bind_port = kClientPort});
      ASSERT_EQ(client.Connect(to), 0);
      const std::string text = fmt::format("{:2500}", id);
      const Packet whole = Ip(source, to.address.ToString()).Udp(kClientPort, to.port).Payload(text);
      ++id;
      for (size_t i : order) SendRaw(Outside(), Packet(whole).Fragment(id, i * kPiece, kPiece), to);
      const Outcome outcome = client.Receive();
      EXPECT_EQ(outcome.payload, text) << outcome.ToString().substr(0, 200);
    } while (std::next_permutation(order.begin(), order.end()));
  }
};

TEST_F(FragmentTest, ABackendElsewhereGetsThemInAnyOrder) {
  Program(Shop(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  ExpectAnswersInEveryOrder("203.0.113.2", "198.51.100.4:80");
  ExpectAnswersInEveryOrder("203.0.113.2", "192.168.99.11:30001");
  ExpectAnswersInEveryOrder("fd00:203:0:113::2", "[fd00:198:51:100::4]:80");
}

TEST_F(FragmentTest, ABackendHereGetsThemInAnyOrder) {
  Program(Shop(), CartSlice({"10.180.0.11"}), CartSlice({"fd00:10:180::11"}));
  ExpectAnswersInEveryOrder("203.0.113.2", "198.51.100.4:80");
  ExpectAnswersInEveryOrder("fd00:203:0:113::2", "[fd00:198:51:100::4]:80");
}

TEST_F(FragmentTest, TheNodesOwnServersGetThemInAnyOrder) {
  Program(Shop(), CartSlice({"10.180.1.11"}));
  TheLab().Serve("192.168.99.11:9000");
  ExpectAnswersInEveryOrder("203.0.113.2", "192.168.99.11:9000");
}

}  // namespace
}  // namespace fairlead::test
