// SPDX-License-Identifier: Apache-2.0
// Clients outside the cluster, on other nodes and in their pods: what arrives at n1 as packets for a Service.
#include <gmock/gmock.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::Ge;
using testing::Pair;

constexpr Proto kProtos[] = {Proto::kTcp, Proto::kUdp};
constexpr int kEnough = 40;  // to see both of two backends, but for odds of 2e-12

constexpr char kLb[] = "198.51.100.4:80", kLb6[] = "[fd00:198:51:100::4]:80";
constexpr char kExternal[] = "198.51.100.22:80", kExternal6[] = "[fd00:198:51:100::22]:80";
constexpr char kNodePort[] = "192.168.99.11:30001", kNodePort6[] = "[fd00:192:168:99::11]:30001";

class NorthSouthTest : public NodeTest {
 protected:
  std::vector<std::string> Arguments() const override {
    return {"--cluster-cidr", "10.180.0.0/16,fd00:10:180::/48"};
  }
  // shop/cart with an address of every kind.
  static Service Shop() {
    return Cart(30001)
        .LoadBalancerIp("198.51.100.4")
        .LoadBalancerIp("fd00:198:51:100::4")
        .ExternalIp("198.51.100.22")
        .ExternalIp("fd00:198:51:100::22");
  }
  void ExpectSeenAs(const Namespace& from, const char* to, std::string_view source) {
    for (const Proto proto : kProtos) {
      const Outcome outcome = Connect(from, proto, At(to));
      EXPECT_EQ(outcome.source.address.ToString(), source) << to << ": " << outcome.ToString();
    }
  }
  static void ExpectEnd(const Namespace& from, const char* to, End end, const ClientOptions& options = {}) {
    for (const Proto proto : kProtos) {
      const Outcome outcome = Connect(from, proto, At(to), options);
      EXPECT_EQ(Word(outcome.end), Word(end)) << to << ": " << outcome.ToString();
      if (end == End::kRefused) {
        EXPECT_LT(outcome.took, milliseconds(500)) << to;
      }
    }
  }
};

// The same in every kind of network.
class EveryNetworkTest : public NorthSouthTest, public testing::WithParamInterface<LabOptions> {
  LabOptions Layout() const override { return GetParam(); }
};

TEST_P(EveryNetworkTest, EveryKindOfAddressReachesBackendsHereAndElsewhere) {
  Program(Shop(), CartSlice({"10.180.0.11", "10.180.1.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  for (const Proto proto : kProtos) {
    for (const char* to : {kVip, kLb, kExternal, kNodePort})
      EXPECT_THAT(Spread(Outside(), proto, to, kEnough),
                  ElementsAre(Pair("10.180.0.11:8080", Ge(1)), Pair("10.180.1.11:8080", Ge(1))))
          << to;
    for (const char* to : {kVip6, kLb6, kExternal6, kNodePort6})
      EXPECT_THAT(Spread(Outside(), proto, to, kEnough),
                  ElementsAre(Pair("[fd00:10:180:1::11]:8080", Ge(1)), Pair("[fd00:10:180::11]:8080", Ge(1))))
          << to;
  }
}

TEST_P(EveryNetworkTest, ALocalPolicyKeepsTheClientsAddress) {
  Program(Shop().ExternalLocal(), CartSlice({"10.180.0.11", "10.180.1.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  for (const char* to : {kLb, kExternal, kNodePort}) {
    ExpectSeenAs(Outside(), to, "203.0.113.2");
    EXPECT_THAT(Spread(Outside(), Proto::kTcp, to, 20), ElementsAre(Pair("10.180.0.11:8080", 20)));
  }
  for (const char* to : {kLb6, kExternal6, kNodePort6}) ExpectSeenAs(Outside(), to, "fd00:203:0:113::2");
}

std::string NetworkName(const testing::TestParamInfo<LabOptions>& info) {
  if (info.param.overlay) return "Overlay";
  if (!info.param.offloads) return "WholeChecksums";
  return info.param.source_checks == 1 ? "StrictSourceChecks" : "Routed";
}
INSTANTIATE_TEST_SUITE_P(Network, EveryNetworkTest,
                         testing::Values(LabOptions{}, LabOptions{.source_checks = 1},
                                         LabOptions{.offloads = false}, LabOptions{.overlay = true}),
                         NetworkName);

TEST_F(NorthSouthTest, OtherNodesAndTheirPodsAreServed) {
  Program(Shop(), CartSlice({"10.180.0.11", "10.180.2.11"}));
  TheLab().AnswerThroughN1(Addr("10.180.1.100"));  // a pod is not masqueraded on a cluster IP
  for (const Namespace* from : {&TheLab().N2().Net(), &TheLab().N2().Pod("10.180.1.100")}) {
    for (const Proto proto : kProtos) {
      for (const char* to : {kVip, kLb, kNodePort})
        EXPECT_THAT(Spread(*from, proto, to, kEnough),
                    ElementsAre(Pair("10.180.0.11:8080", Ge(1)), Pair("10.180.2.11:8080", Ge(1))))
            << to;
    }
  }
}

TEST_F(NorthSouthTest, ABackendOnTheClientsOwnNodeAnswersIt) {
  Program(Shop(), CartSlice({"10.180.1.11"}));
  for (const Namespace* from : {&TheLab().N2().Net(), &TheLab().N2().Pod("10.180.1.100")}) {
    for (const Proto proto : kProtos)
      EXPECT_EQ(Connect(*from, proto, At(kNodePort)).backend, "10.180.1.11:8080");
  }
}

TEST_F(NorthSouthTest, ABackendInTheNodesOwnNetworkSeesTheClient) {
  Program(Shop(), CartSlice({"192.168.99.11"}));
  for (const char* to : {kVip, kLb, kNodePort}) ExpectSeenAs(Outside(), to, "203.0.113.2");
}

TEST_F(NorthSouthTest, WithoutEndpointsEveryAddressRefusesAtOnce) {
  Program(Shop());
  for (const char* to : {kVip, kLb, kExternal, kNodePort, kVip6, kLb6, kExternal6, kNodePort6})
    ExpectEnd(Outside(), to, End::kRefused);
}

TEST_F(NorthSouthTest, ALocalPolicyWithoutALocalEndpointIsSilent) {
  Program(Shop().ExternalLocal(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  for (const char* to : {kLb, kExternal, kNodePort, kLb6, kNodePort6})
    ExpectEnd(Outside(), to, End::kSilent, {.timeout = milliseconds(150)});
}

TEST_F(NorthSouthTest, AnUndefinedPortIsRefusedOnAClusterIpAndPassesElsewhere) {
  Program(Shop(), CartSlice({"10.180.0.11"}));
  ExpectEnd(Outside(), "172.30.0.10:81", End::kRefused);
  ExpectEnd(Outside(), "[fd00:172:30::10]:81", End::kRefused);
  Capture capture(Host());
  ExpectEnd(Outside(), "198.51.100.4:81", End::kSilent, {.timeout = milliseconds(150)});
  EXPECT_GE(capture.TakeSent(Proto::kTcp, At("198.51.100.4:81")), 1);
}

TEST_F(NorthSouthTest, SourceRangesGuardLoadBalancerAddressesOnly) {
  Program(Shop().SourceRange("203.0.113.0/25").SourceRange("fd00:203:0:113::/64"), CartSlice({"10.180.0.11"}),
          CartSlice({"fd00:10:180::11"}));
  const ClientOptions blocked{.bind = Addr("203.0.113.130"), .timeout = milliseconds(150)};
  const ClientOptions blocked6{.bind = Addr("fd00:203:0:114::2"), .timeout = milliseconds(150)};
  for (const char* to : {kLb, kNodePort, kExternal}) ExpectEnd(Outside(), to, End::kReached);
  ExpectEnd(Outside(), kLb, End::kSilent, blocked);
  ExpectEnd(Outside(), kLb6, End::kSilent, blocked6);
  for (const char* to : {kVip, kNodePort, kExternal}) ExpectEnd(Outside(), to, End::kReached, blocked);
}

TEST_F(NorthSouthTest, AffinityHoldsForOneClientThroughEveryAddress) {
  Program(Shop().Affinity(), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  const std::string backend = Connect(Outside(), Proto::kTcp, At(kNodePort)).backend;
  ASSERT_NE(backend, "");
  for (const char* to : {kVip, kLb, kExternal, kNodePort})
    EXPECT_THAT(Spread(Outside(), Proto::kTcp, to, 12), ElementsAre(Pair(backend, 12))) << to;
}

TEST_F(NorthSouthTest, APingOfAServicesAddressIsAnswered) {
  Program(Shop(), CartSlice({"10.180.0.11"}));
  for (const Namespace* from : {&Outside(), &TheLab().N2().Pod("10.180.1.100")}) {
    for (const char* to : {"172.30.0.10", "198.51.100.4", "198.51.100.22", "fd00:172:30::10",
                           "fd00:198:51:100::4", "fd00:198:51:100::22"}) {
      EXPECT_TRUE(Ping(*from, to)) << to;
      EXPECT_TRUE(Ping(*from, to, 1200)) << to;
    }
  }
  EXPECT_FALSE(Ping(Outside(), "172.30.0.99", 56, milliseconds(150)));
  EXPECT_FALSE(Ping(Outside(), "198.51.100.99", 56, milliseconds(150)));
  EXPECT_TRUE(Ping(Outside(), "192.168.99.11")) << "the node answers for itself";
}

TEST_F(NorthSouthTest, APingFromAPodHereIsAnsweredToo) {
  Program(Shop(), CartSlice({"10.180.0.11"}));
  for (const char* to : {"172.30.0.10", "198.51.100.4", "fd00:172:30::10"})
    EXPECT_TRUE(Ping(Pod(), to)) << to;
}

TEST_F(NorthSouthTest, TrafficOfNoServiceIsLeftAlone) {
  Program(Shop(), CartSlice({"10.180.0.11"}));
  TheLab().Serve("192.168.99.11:22");
  TheLab().Serve("10.180.0.12:9000");
  ExpectSeenAs(Outside(), "192.168.99.11:22", "203.0.113.2");
  ExpectSeenAs(Outside(), "10.180.0.12:9000", "203.0.113.2");
}

}  // namespace
}  // namespace fairlead::test
