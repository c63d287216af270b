// SPDX-License-Identifier: Apache-2.0
// Which source ports masqueraded packets may have.
#include "agent/datapath/ebpf/nat_ports.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>

#include "agent/base/fd.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr PortRange kNodePorts{30000, 32767};

HostPorts Host() {
  HostPorts host;
  host.ephemeral.Add({32768, 60999});
  return host;
}

TEST(NatPortsTest, ThePortsLeftAreThoseNobodyElseUses) {
  HostPorts host = Host();
  host.bound.Add(8080).Add(40000);
  NatPortChoice choice = ChooseNatPorts(kNodePorts, PortSet().Add(20000), host);
  EXPECT_FALSE(choice.scarce);
  for (int port : {1, 1023, 8080, 20000, 30000, 32767, 32768, 40000, 60999}) {
    EXPECT_FALSE(choice.ports.Has(static_cast<uint16_t>(port))) << port;
  }
  for (int port : {1024, 8079, 8081, 19999, 29999, 61000, 65535}) {
    EXPECT_TRUE(choice.ports.Has(static_cast<uint16_t>(port))) << port;
  }
  EXPECT_EQ(choice.ports.Count(), size_t{65535 - 60999 + 30000 - 1024 - 2});
}

TEST(NatPortsTest, WithTheWholeRangeGivenAwayHalfOfItIsUsed) {
  HostPorts host;
  host.ephemeral.Add({1024, 65535});
  host.bound.Add(65000);
  NatPortChoice choice = ChooseNatPorts(kNodePorts, {}, host);
  EXPECT_TRUE(choice.scarce);
  EXPECT_GT(choice.ports.Count(), 30000u);
  EXPECT_TRUE(choice.ports.Has(65535));
  EXPECT_FALSE(choice.ports.Has(65000));
  EXPECT_FALSE(choice.ports.Has(1024));
  EXPECT_FALSE(choice.ports.Has(31000));
}

TEST(NatPortsTest, PortsTheKernelIsToldToLeaveAloneAreNotItsToGive) {
  auto ports = EphemeralPorts("32768\t60999\n", "8080,33000-33009, 60999\n");
  ASSERT_TRUE(ports.has_value());
  EXPECT_EQ(ports->Count(), size_t{60999 - 32768 + 1 - 11});
  EXPECT_FALSE(ports->Has(33000));
  EXPECT_TRUE(ports->Has(33010));
  EXPECT_FALSE(ports->Has(60999));
  EXPECT_EQ(EphemeralPorts("1024 1025", "\n")->Count(), 2u);
}

TEST(NatPortsTest, SettingsThatMakeNoSenseAreErrors) {
  for (const char* range : {"", "a b", "1 70000", "7"}) {
    EXPECT_FALSE(EphemeralPorts(range, "").has_value()) << range;
  }
  auto wrong = EphemeralPorts("1 2", "8080-x");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_THAT(wrong.error().message, HasSubstr("ip_local_reserved_ports: \"8080-x\""));
  EXPECT_FALSE(ParsePortRange("9-8").has_value());
}

class NatPortsTableTest : public testing::Test {
 protected:
  bool Usable(uint16_t port) const { return table_[port / 64].usable >> port % 64 & 1; }

  std::vector<nat_port_word> table_ = std::vector<nat_port_word>(PortSet::kWords);
  HostPorts host_ = Host();
  int reads_ = 0;
  bool broken_ = false;
  NatPorts::TimePoint now_{};
  NatPorts nat_{table_, kNodePorts, [this]() -> Result<HostPorts> {
                  ++reads_;
                  if (broken_) return Fail(ErrorKind::kUnavailable, "sock_diag: injected fault");
                  return host_;
                }};
};

TEST_F(NatPortsTableTest, ANodePortIsLeftOutAtOnceAndComesBackWithItsEnd) {
  nat_.Poll(now_);
  EXPECT_TRUE(Usable(20000));
  auto cart = test::PortOf("shop/cart").NodePort(20000);
  nat_.Note(cart);
  nat_.Poll(now_ + 1ms);
  EXPECT_FALSE(Usable(20000));
  nat_.Note(test::Gone(cart));
  nat_.Poll(now_ + 2ms);
  EXPECT_TRUE(Usable(20000));
  EXPECT_EQ(reads_, 1) << "the node's sockets are not listed for a NodePort";
}

TEST_F(NatPortsTableTest, ANodePortOfTwoProtocolsIsFreeWhenBothAreGone) {
  auto tcp = test::PortOf("shop/dns").NodePort(20053);
  auto udp = test::PortOf("shop/dns").Udp().NodePort(20053);
  nat_.Note(tcp);
  nat_.Note(udp);
  nat_.Note(test::Gone(tcp));
  nat_.Poll(now_);
  EXPECT_FALSE(Usable(20053));
}

TEST_F(NatPortsTableTest, WhatIsBoundIsLookedAtEveryHalfMinuteAndWhenExpected) {
  EXPECT_EQ(nat_.Poll(now_), now_ + 30s);
  host_.bound.Add(5000);
  nat_.Poll(now_ + 29s);
  EXPECT_TRUE(Usable(5000));
  nat_.Poll(now_ + 30s);
  EXPECT_FALSE(Usable(5000));
  host_.bound.Add(5001);
  nat_.Expect();
  nat_.Poll(now_ + 31s);
  EXPECT_FALSE(Usable(5001));
}

TEST_F(NatPortsTableTest, WhatCannotBeReadLeavesWhatWasKnown) {
  host_.bound.Add(5000);
  nat_.Poll(now_);
  broken_ = true;
  nat_.Note(test::PortOf("shop/cart").NodePort(20000));
  nat_.Poll(now_ + 30s);
  EXPECT_FALSE(Usable(5000));
  EXPECT_FALSE(Usable(20000));
  EXPECT_TRUE(Usable(6000));
}

TEST_F(NatPortsTableTest, BeforeAnythingCouldBeReadTheKernelsDefaultRangeIsItsOwn) {
  broken_ = true;
  nat_.Poll(now_);
  EXPECT_FALSE(Usable(40000));
  EXPECT_TRUE(Usable(20000));
}

// A socket of the given kind on a port of the kernel's choice.
struct BoundSocket {
  BoundSocket(int family, int type) : fd(::socket(family, type | SOCK_CLOEXEC, 0)) {
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(family);
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::bind(fd.Get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return;
    if (type == SOCK_STREAM && ::listen(fd.Get(), 1) != 0) return;
    ::getsockname(fd.Get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                   : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  }
  Fd fd;
  uint16_t port = 0;
};

TEST(HostPortsTest, ListeningTcpAndAllUdpSocketsOfBothFamiliesAreBound) {
  uint16_t gone = 0;
  for (int family : {AF_INET, AF_INET6}) {
    for (int type : {SOCK_STREAM, SOCK_DGRAM}) {
      BoundSocket socket(family, type);
      ASSERT_NE(socket.port, 0);
      auto host = ReadHostPorts();
      ASSERT_TRUE(host.has_value()) << host.error().message;
      EXPECT_TRUE(host->bound.Has(socket.port));
      EXPECT_GT(host->ephemeral.Count(), 0u);
      gone = socket.port;
    }
  }
  EXPECT_FALSE(ReadHostPorts()->bound.Has(gone));
}

}  // namespace
}  // namespace fairlead::ebpf
