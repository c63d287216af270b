// SPDX-License-Identifier: Apache-2.0
// What is not served is refused at once, at the socket: nothing leaves, nobody waits for a timeout.
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;

// "at once": well before the first retransmission of a SYN (1 s), with room for a busy machine.
constexpr milliseconds kAtOnce{500};

class RefuseTest : public NodeTest {
 protected:
  // Every way to ask ends with `end` at once, and no packet for `to` is seen in the client's namespace.
  void ExpectEnd(const Namespace& from, std::string_view to, End end) {
    for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
      Capture capture(from);
      const Outcome outcome = Connect(from, proto, At(to));
      EXPECT_EQ(Word(outcome.end), Word(end)) << to << ": " << outcome.ToString();
      EXPECT_LT(outcome.took, kAtOnce);
      EXPECT_EQ(capture.Take(proto, At(to)), 0) << to;
    }
    Capture capture(from);
    const Outcome outcome = SendOne(from, At(to));
    EXPECT_EQ(Word(outcome.end), Word(end)) << to << " (unconnected): " << outcome.ToString();
    EXPECT_LT(outcome.took, kAtOnce);
    EXPECT_EQ(capture.Take(Proto::kUdp, At(to)), 0) << to << " (unconnected)";
  }
};

TEST_F(RefuseTest, AServiceWithoutEndpointsRejects) {
  Program(Cart(30001).LoadBalancerIp("198.51.100.4").ExternalIp("198.51.100.22"));
  for (const Namespace* from : {&Pod(), &Host()}) {
    for (const char* to : {kVip, kVip6, "198.51.100.4:80", "198.51.100.22:80", "192.168.99.11:30001"})
      ExpectEnd(*from, to, End::kRefused);
  }
  ExpectEnd(Host(), "127.0.0.1:30001", End::kRefused);
}

TEST_F(RefuseTest, AServiceOfAMappedClientRejectsToo) {
  Program(Cart());
  for (const Proto proto : {Proto::kTcp, Proto::kUdp})
    EXPECT_EQ(Connect(Pod(), proto, At(kVip), {.mapped = true}).end, End::kRefused);
}

TEST_F(RefuseTest, AServiceWithUnreadyEndpointsOnlyRejects) {
  Program(Cart(), CartSlice({"10.180.1.11"}).Ready(false));
  ExpectEnd(Pod(), kVip, End::kRefused);
}

TEST_F(RefuseTest, ALocalPolicyWithoutLocalEndpointDrops) {
  Program(Cart().InternalLocal(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectEnd(*from, kVip, End::kUnreachable);
    ExpectEnd(*from, kVip6, End::kUnreachable);
  }
}

TEST_F(RefuseTest, ALocalPolicyWithNoEndpointAnywhereRejects) {
  Program(Cart().InternalLocal());
  ExpectEnd(Pod(), kVip, End::kRefused);
}

TEST_F(RefuseTest, AnUndefinedPortOfAClusterIpRejects) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectEnd(*from, "172.30.0.10:81", End::kRefused);
    ExpectEnd(*from, "172.30.0.10:30001", End::kRefused);
    ExpectEnd(*from, "[fd00:172:30::10]:81", End::kRefused);
  }
}

TEST_F(RefuseTest, AnUnallocatedAddressOfAKnownServiceRangeIsDropped) {
  TheAgent().Put("range.yaml", R"(apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [172.30.0.0/16, "fd00:172:30::/112"]}
)");
  Program(Cart(), CartSlice({"10.180.1.11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectEnd(*from, "172.30.0.77:80", End::kUnreachable);
    ExpectEnd(*from, "[fd00:172:30::77]:80", End::kUnreachable);
  }
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kReached);
}

TEST_F(RefuseTest, AnUnknownAddressPassesWhereNoServiceRangeIsKnown) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  Capture capture(Pod());
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("172.30.0.77:80"), {.timeout = milliseconds(50)}).end,
            End::kSilent);
  EXPECT_GE(capture.Take(Proto::kTcp, At("172.30.0.77:80")), 1);
}

TEST_F(RefuseTest, SourceRangesGuardLoadBalancerAddressesAgainstPodsAndTheNode) {
  const auto reached = [&](const Namespace& from, const char* to) {
    EXPECT_EQ(Word(Connect(from, Proto::kTcp, At(to)).end), Word(End::kReached)) << to;
  };
  Service cart =
      Cart(30001).LoadBalancerIp("198.51.100.4").ExternalIp("198.51.100.22").SourceRange("203.0.113.0/25");
  Program(cart, CartSlice({"10.180.1.11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectEnd(*from, "198.51.100.4:80", End::kUnreachable);
    for (const char* open : {kVip, "198.51.100.22:80", "192.168.99.11:30001"}) reached(*from, open);
  }

  Program(cart.SourceRange("10.180.0.100/32"), CartSlice({"10.180.1.11"}));
  reached(Pod(), "198.51.100.4:80");
  ExpectEnd(Other(), "198.51.100.4:80", End::kUnreachable);
  ExpectEnd(Host(), "198.51.100.4:80", End::kUnreachable);

  Program(cart.SourceRange("192.168.99.11/32"), CartSlice({"10.180.1.11"}));
  reached(Host(), "198.51.100.4:80");
  ExpectEnd(Other(), "198.51.100.4:80", End::kUnreachable);
}

TEST_F(RefuseTest, ADeletedServiceFallsSilent) {
  Program(Cart(30001).LoadBalancerIp("198.51.100.4"), CartSlice({"10.180.1.11"}));
  ASSERT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kReached);
  Program();
  for (const char* to : {kVip, "198.51.100.4:80"}) {
    Capture capture(Pod());
    EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(to), {.timeout = milliseconds(50)}).end, End::kSilent);
    EXPECT_GE(capture.Take(Proto::kTcp, At(to)), 1);
  }
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("192.168.99.11:30001")).end, End::kRefused);
}

}  // namespace
}  // namespace fairlead::test
