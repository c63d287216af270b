// SPDX-License-Identifier: Apache-2.0
// Session affinity: a client keeps its backend for a while. A client of this node is its network namespace.
#include <gmock/gmock.h>

#include <chrono>
#include <set>
#include <thread>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::SizeIs;

class AffinityTest : public NodeTest {
 protected:
  Slice Four() { return CartSlice({"10.180.0.11", "10.180.1.11", "10.180.1.12", "10.180.2.11"}); }
  // Backends that `connections` of one client reach.
  static std::set<std::string> Reached(const Namespace& from, std::string_view to, int connections = 20,
                                       Proto proto = Proto::kTcp) {
    std::set<std::string> reached;
    for (const auto& [backend, count] : Spread(from, proto, to, connections)) reached.insert(backend);
    return reached;
  }
};

TEST_F(AffinityTest, AClientKeepsItsBackendOnEveryAddressOfTheServicePort) {
  Program(Cart(30001).Affinity().LoadBalancerIp("198.51.100.4"), Four());
  const auto backend = Reached(Pod(), kVip);
  ASSERT_THAT(backend, SizeIs(1));
  EXPECT_EQ(Reached(Pod(), "198.51.100.4:80"), backend);
  EXPECT_EQ(Reached(Pod(), "192.168.99.11:30001"), backend);
  EXPECT_THAT(Reached(Pod(), kVip, 20, Proto::kUdp), SizeIs(1));
}

TEST_F(AffinityTest, AClientKeepsItsBackendOverIpv6) {
  Program(Cart().Affinity(), CartSlice({"fd00:10:180::11", "fd00:10:180:1::11", "fd00:10:180:2::11"}));
  EXPECT_THAT(Reached(Pod(), kVip6), SizeIs(1));
}

TEST_F(AffinityTest, PodsAreRememberedEachForItself) {
  Program(Cart().Affinity(), Four());
  std::set<std::string> backends;
  for (int pod = 100; pod < 116; ++pod) {
    const auto reached = Reached(TheLab().N1().Pod("10.180.0." + std::to_string(pod)), kVip, 5);
    EXPECT_THAT(reached, SizeIs(1));
    backends.insert(reached.begin(), reached.end());
  }
  // 16 clients on one of four backends by chance: odds of 4^-15.
  EXPECT_GE(backends.size(), 2u);
}

TEST_F(AffinityTest, AnIdleClientIsForgottenAfterTheTimeout) {
  Program(Cart().Affinity(1), Four());
  std::set<std::string> backends;
  for (int round = 0; round < 8 && backends.size() < 2; ++round) {
    const auto reached = Reached(Pod(), kVip, 5);
    EXPECT_THAT(reached, SizeIs(1));
    backends.insert(reached.begin(), reached.end());
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  }
  EXPECT_GE(backends.size(), 2u) << "the same of four backends in all of eight draws";
}

TEST_F(AffinityTest, EveryConnectionRenewsTheMemory) {
  Program(Cart().Affinity(2), Four());
  std::set<std::string> backends;
  for (int i = 0; i < 8; ++i) {
    const auto reached = Reached(Pod(), kVip, 1);
    backends.insert(reached.begin(), reached.end());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  EXPECT_THAT(backends, SizeIs(1));
}

TEST_F(AffinityTest, ARemovedBackendIsForgottenAndItsSuccessorKept) {
  Program(Cart().Affinity(), CartSlice({"10.180.0.11"}));
  EXPECT_EQ(Reached(Pod(), kVip), std::set<std::string>{"10.180.0.11:8080"});
  Program(Cart().Affinity(), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(Reached(Pod(), kVip), std::set<std::string>{"10.180.1.11:8080"});
  Program(Cart().Affinity(), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  EXPECT_EQ(Reached(Pod(), kVip), std::set<std::string>{"10.180.1.11:8080"});
}

TEST_F(AffinityTest, SwitchingItOffAndOnTakesEffectAtOnce) {
  Program(Cart().Affinity(), Four());
  EXPECT_THAT(Reached(Pod(), kVip), SizeIs(1));
  Program(Cart(), Four());
  EXPECT_THAT(Reached(Pod(), kVip, 100), SizeIs(4));
  Program(Cart().Affinity(), Four());
  EXPECT_THAT(Reached(Pod(), kVip), SizeIs(1));
}

TEST_F(AffinityTest, SurvivesTheAgentsRestart) {
  Program(Cart().Affinity(), Four());
  const auto backend = Reached(Pod(), kVip);
  TheAgent().Kill();
  EXPECT_EQ(Reached(Pod(), kVip), backend);
  TheAgent().Start();
  EXPECT_EQ(Reached(Pod(), kVip), backend);
}

}  // namespace
}  // namespace fairlead::test
