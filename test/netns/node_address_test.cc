// SPDX-License-Identifier: Apache-2.0
// Addresses a Service has beside its cluster IP, used from inside the node: NodePorts, load balancer
// addresses, external IPs, and the node's loopback.
#include <gmock/gmock.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::ElementsAre;
using testing::Ge;
using testing::Pair;

class NodeAddressTest : public NodeTest {
 protected:
  static void ExpectReached(const Namespace& from, const char* to) {
    for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
      const Outcome outcome = Connect(from, proto, At(to));
      EXPECT_EQ(Word(outcome.end), Word(End::kReached)) << to << ": " << outcome.ToString();
      EXPECT_EQ(outcome.peer, At(to));
    }
  }
  // `on_wire`: the address that the kernel makes of `to`, if another.
  static void ExpectNotServed(const Namespace& from, const char* to, const char* on_wire = nullptr) {
    for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
      Capture capture(from);
      const Outcome outcome = Connect(from, proto, At(to), {.timeout = std::chrono::milliseconds(100)});
      EXPECT_NE(outcome.end, End::kReached) << to << ": " << outcome.ToString();
      EXPECT_GE(capture.Take(proto, At(on_wire ? on_wire : to)), 1) << to << " was not left alone";
    }
  }
};

TEST_F(NodeAddressTest, NodePortsAnswerPodsAndTheNodeOnItsAddresses) {
  Program(Cart(30001), CartSlice({"10.180.0.11", "10.180.1.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectReached(*from, "192.168.99.11:30001");
    ExpectReached(*from, "[fd00:192:168:99::11]:30001");
  }
}

TEST_F(NodeAddressTest, NodePortsAnswerTheNodeOnItsLoopback) {
  Program(Cart(30001), CartSlice({"10.180.0.11", "10.180.1.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  ExpectReached(Host(), "127.0.0.1:30001");
  ExpectReached(Host(), "127.0.0.53:30001");
  ExpectReached(Host(), "[::1]:30001");
  ExpectReached(Host(), "0.0.0.0:30001");  // for the kernel: this host
  ExpectReached(Host(), "[::]:30001");
}

TEST_F(NodeAddressTest, ThePodsOwnLoopbackIsItsOwn) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  ExpectNotServed(Pod(), "127.0.0.1:30001");
  ExpectNotServed(Pod(), "[::1]:30001");
  ExpectNotServed(Pod(), "0.0.0.0:30001", "127.0.0.1:30001");
  ExpectNotServed(Pod(), "[::]:30001", "[::1]:30001");
}

TEST_F(NodeAddressTest, AnotherNodesPortAndAnUnusedNumberAreLeftAlone) {
  Program(Cart(30001), CartSlice({"10.180.0.11"}));
  ExpectNotServed(Pod(), "192.168.99.12:30001");
  ExpectNotServed(Pod(), "192.168.99.11:30002");
  ExpectNotServed(Pod(), "192.168.99.11:80");
}

TEST_F(NodeAddressTest, LoadBalancerAndExternalAddressesAreServedFromInside) {
  Program(Cart().LoadBalancerIp("198.51.100.4").ExternalIp("198.51.100.22"), CartSlice({"10.180.1.11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectReached(*from, "198.51.100.4:80");
    ExpectReached(*from, "198.51.100.22:80");
  }
  ExpectNotServed(Pod(), "198.51.100.4:81");
  ExpectNotServed(Pod(), "198.51.100.8:80");
}

TEST_F(NodeAddressTest, AnExternalLocalPolicyStillGivesInsideClientsEveryBackend) {
  Program(Cart(30001).LoadBalancerIp("198.51.100.4").ExternalLocal(),
          CartSlice({"10.180.1.11", "10.180.2.11"}));
  for (const Namespace* from : {&Pod(), &Host()}) {
    for (const char* to : {"198.51.100.4:80", "192.168.99.11:30001"}) {
      EXPECT_THAT(Spread(*from, Proto::kTcp, to, 60),
                  ElementsAre(Pair("10.180.1.11:8080", Ge(1)), Pair("10.180.2.11:8080", Ge(1))));
    }
  }
}

TEST_F(NodeAddressTest, AnInternalLocalPolicyPrefersThisNodesBackendsForTheClusterIpOnly) {
  Program(Cart(30001).InternalLocal(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 30), ElementsAre(Pair("10.180.0.11:8080", 30)));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, "192.168.99.11:30001", 60),
              ElementsAre(Pair("10.180.0.11:8080", Ge(1)), Pair("10.180.1.11:8080", Ge(1))));
}

TEST_F(NodeAddressTest, AnAddressTheNodeGetsLaterAnswersNodePorts) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  Host().Ip("address add 192.168.100.11/24 dev eth0\n");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  Outcome outcome;
  do {
    outcome =
        Connect(Pod(), Proto::kTcp, At("192.168.100.11:30001"), {.timeout = std::chrono::milliseconds(50)});
  } while (outcome.end != End::kReached && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(outcome.backend, "10.180.1.11:8080") << outcome.ToString();
}

class NodePortRangeTest : public NodeAddressTest {
  std::vector<std::string> Arguments() const override { return {"--nodeport-addresses", "192.168.99.0/24"}; }
};

TEST_F(NodePortRangeTest, NodePortsAnswerOnTheGivenAddressesOnly) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  Host().Ip("address add 192.168.100.11/24 dev eth0\n");
  for (const Namespace* from : {&Pod(), &Host()}) {
    ExpectReached(*from, "192.168.99.11:30001");
    ExpectNotServed(*from, "192.168.100.11:30001");
  }
  ExpectNotServed(Host(), "127.0.0.1:30001");
}

}  // namespace
}  // namespace fairlead::test
