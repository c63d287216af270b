// SPDX-License-Identifier: Apache-2.0
// What the planner tells the datapath, and when.
#include "agent/plan/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/plan/node.h"
#include "agent/plan/print.h"
#include "test/support/world.h"

namespace fairlead::test {
namespace {

Service Cart() {
  return Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80).Port("admin", 81);
}
Slice CartSlice() {
  return Slice("shop/cart")
      .Port("http", 8080)
      .Endpoint("10.180.1.11")
      .On("n1")
      .Endpoint("10.180.2.11")
      .On("n2");
}

TEST(Planner, OnlyTheServicePortsThatReallyDifferAreChanges) {
  World world;
  EXPECT_EQ(Text(world.Apply({Cart(), CartSlice()}).changes),
            "+shop/cart:admin/TCP IPv4\n+shop/cart:http/TCP IPv4");
  EXPECT_EQ(Text(world.Apply({CartSlice().Endpoint("10.180.2.12")}).changes), "+shop/cart:http/TCP IPv4");
  EXPECT_EQ(Text(world.Apply({CartSlice().Endpoint("10.180.2.12").TriggerTime(1)}).changes), "");
  EXPECT_EQ(Text(world.PlanAll().changes), "");
}

TEST(Planner, AChangeUndoneBeforeItIsPlannedIsNone) {
  World world;
  world.Apply({Cart(), CartSlice()});
  world.cluster.Apply(Upsert(CartSlice().Endpoint("10.180.2.12")));
  world.cluster.Apply(Upsert(CartSlice()));
  EXPECT_EQ(Text(world.PlanDirty().changes), "");
}

TEST(Planner, AnUnchangedServicePortStaysTheSameObject) {
  World world;
  world.Apply({Cart(), CartSlice()});
  const plan::ServicePort* before = &world.Port("shop/cart:admin/TCP IPv4");
  world.Apply({CartSlice().Endpoint("10.180.2.12")});
  EXPECT_EQ(&world.Port("shop/cart:admin/TCP IPv4"), before);
}

TEST(Planner, RenamingAPortRemovesOneAndAddsAnother) {
  World world;
  world.Apply({Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80)});
  EXPECT_EQ(Text(world.Apply({Service("shop/cart").ClusterIp("172.30.0.10").Port("web", 80)}).changes),
            "-shop/cart:http/TCP IPv4\n+shop/cart:web/TCP IPv4");
  EXPECT_EQ(Text(world.Port("shop/cart:web/TCP IPv4").frontends), "ClusterIP 172.30.0.10:80");
}

TEST(Planner, AProtocolChangeRemovesOneAndAddsAnother) {
  World world;
  world.Apply({Service("shop/dns").ClusterIp("172.30.0.10").Port("dns", 53).Udp()});
  EXPECT_EQ(Text(world.Apply({Service("shop/dns").ClusterIp("172.30.0.10").Port("dns", 53)}).changes),
            "+shop/dns:dns/TCP IPv4\n-shop/dns:dns/UDP IPv4");
}

TEST(Planner, ADeletedServiceIsRemovedAndBackWithItsSlicesWhenItReturns) {
  World world;
  world.Apply({Cart(), CartSlice()});
  EXPECT_EQ(Text(world.Remove(kube::Kind::kService, "shop/cart").changes),
            "-shop/cart:admin/TCP IPv4\n-shop/cart:http/TCP IPv4");
  EXPECT_TRUE(world.planner.plan().empty());
  world.Apply({Cart()});
  EXPECT_EQ(Text(world.Port("shop/cart:http/TCP IPv4").cluster), "10.180.1.11:8080 10.180.2.11:8080");
}

TEST(Planner, ASliceOfNoServiceIsNoPlanAndNoProblem) {
  World world;
  plan::Delta delta = world.Apply({CartSlice()});
  EXPECT_EQ(Text(delta.changes), "");
  EXPECT_EQ(Text(delta.problems), "");
}

TEST(Planner, ChangesAreSortedByKeyAcrossServices) {
  World world;
  plan::Delta delta =
      world.Apply({Service("b/x").ClusterIp("172.30.0.3").Port("z", 1).Port("a", 2),
                   Service("a/y").ClusterIp("172.30.0.2").ClusterIp("fd00:172:30::2").Port("", 1)});
  EXPECT_EQ(Text(delta.changes), "+a/y:/TCP IPv4\n+a/y:/TCP IPv6\n+b/x:a/TCP IPv4\n+b/x:z/TCP IPv4");
}

TEST(Planner, AServiceThatDoesNotExistIsNothing) {
  World world;
  kube::ObjectName name = Name("shop/never");
  EXPECT_TRUE(world.planner.Update(world.cluster, {&name, 1}).changes.empty());
}

TEST(Planner, OneServicesTroubleLeavesTheOthersAlone) {
  World world;
  plan::Delta delta =
      world.Apply({Service("shop/bad").ClusterIp("172.30.0.9").Setting("algorithm", "x"), Cart()});
  EXPECT_EQ(delta.problems.size(), 2u) << Text(delta.problems);
  EXPECT_TRUE(world.Has("shop/cart:http/TCP IPv4"));
}

// --- facts about the node
// --------------------------------------------------------------------------------------

TEST(Facts, AnotherZonePlansEveryServiceAgain) {
  World world;
  world.Apply({Cart(), Slice("shop/cart")
                           .Port("http", 8080)
                           .Endpoint("10.180.1.11")
                           .Zone("a")
                           .Endpoint("10.180.2.11")
                           .Zone("b")});
  plan::NodeFacts facts = Facts();
  facts.zone = "b";
  ASSERT_TRUE(world.planner.SetFacts(facts));
  EXPECT_EQ(Text(world.PlanAll().changes), "+shop/cart:http/TCP IPv4");
  EXPECT_EQ(Text(world.Port("shop/cart:http/TCP IPv4").cluster), "10.180.2.11:8080");
}

TEST(Facts, WhatDecidesAboutTheNodeAloneLeavesServicesAsTheyAre) {
  World world;
  plan::NodeFacts facts = Facts();
  facts.nodeport_cidrs = {Range("192.168.99.0/24")};
  facts.nodeport_primary = true;
  facts.primary_addresses = {Addr("192.168.99.11")};
  facts.localhost_nodeports = false;
  EXPECT_FALSE(world.planner.SetFacts(facts));
  EXPECT_EQ(world.planner.facts(), facts);
}

TEST(Facts, RefusingExternalIpsLetsGoOfTheirClaims) {
  World world;
  world.Apply({Service("shop/a").ClusterIp("172.30.0.10").Port("http", 80).ExternalIp("198.51.100.4"),
               Service("shop/b").ClusterIp("172.30.0.11").Port("http", 80).LoadBalancerIp("198.51.100.4")});
  EXPECT_EQ(Text(world.Port("shop/b:http/TCP IPv4").frontends), "ClusterIP 172.30.0.11:80");
  plan::NodeFacts facts = Facts();
  facts.refuse_external_ips = true;
  ASSERT_TRUE(world.planner.SetFacts(facts));
  world.PlanAll();
  EXPECT_EQ(Text(world.Port("shop/b:http/TCP IPv4").frontends),
            "ClusterIP 172.30.0.11:80, LoadBalancer 198.51.100.4:80");
}

// --- which addresses answer NodePorts
// --------------------------------------------------------------------------

struct NodePortCase {
  std::string name;
  std::vector<std::string_view> ranges;
  bool primary, localhost;
  std::string_view addresses;  // of 192.168.99.11, 192.168.100.11, fd00:192:168:99::11, sorted
  bool loopback_v4, loopback_v6;
};

void PrintTo(const NodePortCase& c, std::ostream* out) {
  *out << c.name;
}

class NodePortTest : public testing::TestWithParam<NodePortCase> {};

TEST_P(NodePortTest, SaysWhichAddressesAnswer) {
  const NodePortCase& row = GetParam();
  plan::NodeFacts facts = Facts();
  facts.addresses = {Addr("fd00:192:168:99::11"), Addr("192.168.100.11"), Addr("192.168.99.11"),
                     Addr("127.0.0.1")};
  facts.primary_addresses = {Addr("192.168.99.11"), Addr("192.168.100.11"), Addr("fd00:192:168:99::11")};
  for (std::string_view range : row.ranges) facts.nodeport_cidrs.push_back(Range(range));
  facts.nodeport_primary = row.primary;
  facts.localhost_nodeports = row.localhost;
  World world(facts);
  plan::NodePlan node = world.planner.PlanNode(world.cluster);
  std::string addresses;
  for (const Address& address : node.nodeport_addresses) {
    addresses += (addresses.empty() ? "" : " ") + address.ToString();
  }
  EXPECT_EQ(addresses, row.addresses);
  EXPECT_EQ(node.loopback_nodeports_v4, row.loopback_v4);
  EXPECT_EQ(node.loopback_nodeports_v6, row.loopback_v6);
}

constexpr std::string_view kAll = "192.168.99.11 192.168.100.11 fd00:192:168:99::11";

INSTANTIATE_TEST_SUITE_P(
    Addresses, NodePortTest,
    testing::Values(NodePortCase{"EveryAddressWithoutRanges", {}, false, true, kAll, true, true},
                    NodePortCase{"LocalhostSwitchedOff", {}, false, false, kAll, false, false},
                    NodePortCase{"ARangeNarrowsItsFamilyAndExcludesItsLoopback",
                                 {"192.168.99.0/24"},
                                 false,
                                 true,
                                 "192.168.99.11 fd00:192:168:99::11",
                                 false,
                                 true},
                    NodePortCase{"RangesOfTheOtherFamilyLeaveIpv4Unrestricted",
                                 {"fd00:1::/64"},
                                 false,
                                 true,
                                 "192.168.99.11 192.168.100.11",
                                 true,
                                 false},
                    NodePortCase{"SeveralRangesOfOneFamily",
                                 {"192.168.99.0/24", "192.168.100.0/24", "::/0"},
                                 false,
                                 true,
                                 kAll,
                                 false,
                                 true},
                    NodePortCase{"ARangeThatHoldsLoopbackKeepsIt",
                                 {"127.0.0.0/8", "192.168.100.0/24", "::1/128"},
                                 false,
                                 true,
                                 "192.168.100.11",
                                 true,
                                 true},
                    NodePortCase{"PrimaryIsTheFirstOfEachFamily",
                                 {},
                                 true,
                                 true,
                                 "192.168.99.11 fd00:192:168:99::11",
                                 false,
                                 false},
                    NodePortCase{"PrimaryAndARange", {"192.168.100.0/24"}, true, true, kAll, false, false}),
    [](const auto& row) { return row.param.name; });

TEST(PlanNode, ServiceCidrsComeFromTheCluster) {
  World world;
  world.cluster.Apply(Upsert(ServiceCidrs("kubernetes", {"fd00:172:30::/112", "172.30.0.0/16"})));
  EXPECT_EQ(Text(world.planner.PlanNode(world.cluster).service_cidrs), "172.30.0.0/16 fd00:172:30::/112");
}

// --- whom the local-traffic detector takes for pods
// --------------------------------------------------------------------------------------

TEST(PodCidrs, OfTheClusterOrOfThisNodeAsTheDetectorGoes) {
  plan::NodeFacts facts = Facts();
  facts.cluster_cidrs = {Range("fd00:10:180::/48"), Range("10.180.0.0/16")};
  facts.node_pod_cidrs = {Range("10.180.0.0/24")};
  EXPECT_EQ(Text(plan::PlanNode(facts, {}).pod_cidrs), "") << "there is no detector";
  facts.detects_pods = true;
  EXPECT_EQ(Text(plan::PlanNode(facts, {}).pod_cidrs), "10.180.0.0/16 fd00:10:180::/48");
  facts.pods_by_node_cidr = true;
  EXPECT_EQ(Text(plan::PlanNode(facts, {}).pod_cidrs), "10.180.0.0/24");
}

TEST(PodCidrs, AFamilyWithoutAPrefixHasNoDetectorUnlessItGoesByDevice) {
  plan::NodeFacts facts = Facts();
  EXPECT_FALSE(plan::DetectsPods(facts, Family::kIpv4));
  facts.detects_pods = true;
  EXPECT_TRUE(plan::DetectsPods(facts, Family::kIpv4)) << "by device";
  EXPECT_TRUE(plan::DetectsPods(facts, Family::kIpv6));
  facts.cluster_cidrs = {Range("10.180.0.0/16")};
  EXPECT_TRUE(plan::DetectsPods(facts, Family::kIpv4));
  EXPECT_FALSE(plan::DetectsPods(facts, Family::kIpv6));
  facts.pods_by_node_cidr = true;
  EXPECT_FALSE(plan::DetectsPods(facts, Family::kIpv4)) << "the Node has no pod CIDR yet";
}

TEST(PodCidrs, APodCidrTheNodeGetsLaterChangesWhoIsMasqueraded) {
  plan::NodeFacts facts = Facts();
  facts.detects_pods = facts.pods_by_node_cidr = true;
  World world(facts);
  world.Apply({Cart(), CartSlice()});
  const auto masquerade = [&] { return world.Port("shop/cart:http/TCP IPv4").frontends.front().masquerade; };
  EXPECT_EQ(masquerade(), plan::Masquerade::kNobody);
  facts.node_pod_cidrs = {Range("10.180.0.0/24")};
  ASSERT_TRUE(world.planner.SetFacts(facts));
  world.PlanAll();
  EXPECT_EQ(masquerade(), plan::Masquerade::kOutside);
}

// --- where health checks are answered
// --------------------------------------------------------------------------------------

TEST(HealthCheckAddresses, AreThoseThatAnswerNodePortsAndOneForAllWhereNothingNarrows) {
  plan::NodeFacts facts = Facts();
  facts.addresses = {Addr("192.168.99.11"), Addr("192.168.100.11"), Addr("fd00:192:168:99::11")};
  EXPECT_THAT(plan::HealthCheckAddresses(facts, Family::kIpv4), testing::ElementsAre(Addr("0.0.0.0")));
  EXPECT_THAT(plan::HealthCheckAddresses(facts, Family::kIpv6), testing::ElementsAre(Addr("::")));
  facts.nodeport_cidrs = {Range("192.168.99.0/24"), Range("127.0.0.0/8")};
  EXPECT_THAT(plan::HealthCheckAddresses(facts, Family::kIpv4),
              testing::ElementsAre(Addr("192.168.99.11"), Addr("127.0.0.1")));
  EXPECT_THAT(plan::HealthCheckAddresses(facts, Family::kIpv6), testing::ElementsAre(Addr("::")));
  facts.nodeport_cidrs = {Range("0.0.0.0/0")};
  EXPECT_THAT(plan::HealthCheckAddresses(facts, Family::kIpv4), testing::ElementsAre(Addr("0.0.0.0")));
}

// --- words
// -----------------------------------------------------------------------------------------------------

TEST(Words, APlanIsPrintedForPeople) {
  World world;
  world.Apply({Service("shop/cart")
                   .ClusterIp("172.30.0.10")
                   .Port("http", 80)
                   .NodePort(30001)
                   .LoadBalancerIp("198.51.100.4")
                   .SourceRange("203.0.113.0/25")
                   .ExternalLocal()
                   .Affinity(60)
                   .HealthCheckNodePort(32001)
                   .Setting("algorithm", "maglev")
                   .Setting("weights", "10.180.1.11=2"),
               CartSlice().Endpoint("10.180.2.12").Ready(false).Terminating()});
  EXPECT_EQ(world.Print(),
            "shop/cart:http/TCP IPv4\n"
            "  frontends: ClusterIP 172.30.0.10:80, LoadBalancer 198.51.100.4:80, NodePort 30001\n"
            "  cluster: 10.180.1.11:8080 (local, weight 2), 10.180.2.11:8080\n"
            "  local: 10.180.1.11:8080 (local, weight 2)\n"
            "  draining: 10.180.2.12:8080 (terminating)\n"
            "  policy: external Local, affinity 60 s, maglev, health check node port 32001\n"
            "  source ranges: 203.0.113.0/25\n");
}

TEST(Words, WhoIsMasqueradedIsPrintedBesideTheFrontend) {
  plan::NodeFacts facts = Facts();
  facts.detects_pods = true;
  facts.cluster_cidrs = {Range("10.180.0.0/16")};
  World world(facts);
  world.Apply({Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80).NodePort(30001)});
  EXPECT_EQ(world.Print(),
            "shop/cart:http/TCP IPv4\n"
            "  frontends: ClusterIP 172.30.0.10:80 (masquerade outside), NodePort 30001 (masquerade)\n"
            "  policy: reject\n");
}

TEST(Words, AServiceWithoutEndpointsIsPrintedAsRejecting) {
  World world;
  world.Apply({Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80).InternalLocal()});
  EXPECT_EQ(
      world.Print(),
      "shop/cart:http/TCP IPv4\n  frontends: ClusterIP 172.30.0.10:80\n  policy: internal Local, reject\n");
}

TEST(Words, TheNodeIsPrintedForPeople) {
  plan::NodePlan node{.nodeport_addresses = {Addr("192.168.99.11")},
                      .loopback_nodeports_v4 = true,
                      .loopback_nodeports_v6 = false,
                      .service_cidrs = {Range("172.30.0.0/16")},
                      .pod_cidrs = {Range("10.180.0.0/16")}};
  EXPECT_EQ(plan::Print(node),
            "node\n  NodePort addresses: 192.168.99.11\n  NodePorts on loopback: IPv4\n"
            "  service CIDRs: 172.30.0.0/16\n  pod CIDRs: 10.180.0.0/16\n");
}

}  // namespace
}  // namespace fairlead::test
