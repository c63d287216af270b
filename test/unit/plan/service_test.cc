// SPDX-License-Identifier: Apache-2.0
// One service through model and planner: which services are proxied, on which addresses, from which lists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/world.h"

namespace fairlead::test {
namespace {

using plan::FrontendKind;
using plan::ServicePort;

constexpr std::string_view kCart = "shop/cart:http/TCP IPv4";
constexpr std::string_view kCart6 = "shop/cart:http/TCP IPv6";

Service Cart() {
  return Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80);
}

// One backend here, one on n2.
Slice CartSlice() {
  return Slice("shop/cart")
      .Port("http", 8080)
      .Endpoint("10.180.1.11")
      .On("n1")
      .Endpoint("10.180.2.11")
      .On("n2");
}

constexpr std::string_view kBoth = "10.180.1.11:8080 10.180.2.11:8080";
constexpr std::string_view kHere = "10.180.1.11:8080";

// --- which services are proxied
// --------------------------------------------------------------------------------

TEST(Proxied, AClusterIpServiceIsServedOnItsAddressFromItsSlices) {
  World world;
  world.Apply({Cart(), CartSlice()});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80");
  EXPECT_EQ(Text(world.Port(kCart).cluster), kBoth);
  EXPECT_EQ(Text(world.Port(kCart).local), "");
  EXPECT_TRUE(world.Port(kCart).has_any);
}

TEST(Proxied, HeadlessServicesAreLeftOutWithoutAComplaint) {
  World world;
  plan::Delta delta =
      world.Apply({Service("shop/cart").Port("http", 80), CartSlice(), Service("shop/portless")});
  EXPECT_EQ(Text(delta.changes), "");
  EXPECT_EQ(Text(delta.problems), "");
}

TEST(Proxied, ExternalNameServicesAreLeftOutEvenWithAnAddressLeft) {
  World world;
  world.Apply({Cart().Type(kube::ServiceType::kExternalName), CartSlice()});
  EXPECT_EQ(world.Print(), "");
}

TEST(Proxied, TheLabelOfAnotherProxyTakesAServiceAwayAndItsRemovalBringsItBack) {
  World world;
  world.Apply({Cart(), CartSlice()});
  EXPECT_EQ(Text(world.Apply({Cart().OtherProxy()}).changes), "-shop/cart:http/TCP IPv4");
  EXPECT_EQ(Text(world.Apply({Cart()}).changes), "+shop/cart:http/TCP IPv4");
}

TEST(Proxied, AServiceWithoutPortsIsReported) {
  World world;
  plan::Delta delta = world.Apply({Service("shop/cart").ClusterIp("172.30.0.10")});
  EXPECT_EQ(Text(delta.changes), "");
  EXPECT_EQ(Text(delta.problems), "Service shop/cart: spec.ports: expected at least one");
}

TEST(Proxied, AServiceWithoutSlicesIsPlannedToReject) {
  World world;
  world.Apply({Cart()});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80");
  EXPECT_FALSE(world.Port(kCart).has_any);
}

TEST(Proxied, ServicesOfOneNameInTwoNamespacesDoNotShareEndpoints) {
  World world;
  world.Apply({Cart(), CartSlice(), Service("other/cart").ClusterIp("172.30.0.11").Port("http", 80),
               Slice("other/cart").Port("http", 8080).Endpoint("10.180.2.12")});
  EXPECT_EQ(Text(world.Port(kCart).cluster), kBoth);
  EXPECT_EQ(Text(world.Port("other/cart:http/TCP IPv4").cluster), "10.180.2.12:8080");
}

// --- families
// --------------------------------------------------------------------------------------------------

TEST(Families, ADualStackServiceIsPlannedOnceAFamily) {
  World world;
  world.Apply({Cart().ClusterIp("fd00:172:30::10").NodePort(30001), CartSlice(),
               Slice("shop/cart").Named("cart-6").Port("http", 8080).Endpoint("fd00:10:180:1::11").On("n1")});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80, NodePort 30001");
  EXPECT_EQ(Text(world.Port(kCart6).frontends), "ClusterIP [fd00:172:30::10]:80, NodePort 30001");
  EXPECT_EQ(Text(world.Port(kCart6).cluster), "[fd00:10:180:1::11]:8080");
  EXPECT_TRUE(world.Port(kCart).frontends.back().address.IsUnspecified());
  EXPECT_EQ(world.Port(kCart).frontends.back().address.GetFamily(), Family::kIpv4);
  EXPECT_EQ(world.Port(kCart6).frontends.back().address.GetFamily(), Family::kIpv6);
}

TEST(Families, AFamilyWithoutEndpointsRejectsOnItsOwn) {
  World world;
  world.Apply({Cart().ClusterIp("fd00:172:30::10"), CartSlice()});
  EXPECT_TRUE(world.Port(kCart).has_any);
  EXPECT_FALSE(world.Port(kCart6).has_any);
}

TEST(Families, AServiceTakesPartOnlyInTheFamiliesOfItsClusterIps) {
  World world;
  plan::Delta delta =
      world.Apply({Cart().NodePort(30001).ExternalIp("fd00:198:51:100::22").ExternalIp("198.51.100.22")});
  EXPECT_EQ(Text(world.Port(kCart).frontends),
            "ClusterIP 172.30.0.10:80, ExternalIP 198.51.100.22:80, NodePort 30001");
  EXPECT_FALSE(world.Has(kCart6));
  EXPECT_EQ(Text(delta.problems), "") << "an address of the other family is ignored, not an error";
}

// --- frontends
// -------------------------------------------------------------------------------------------------

TEST(Frontends, NodePortsAreServedForTheTypesThatHaveThem) {
  struct Row {
    kube::ServiceType type;
    std::string_view frontends;
  };
  for (const Row& row : {Row{kube::ServiceType::kClusterIp, "ClusterIP 172.30.0.10:80"},
                         {kube::ServiceType::kNodePort, "ClusterIP 172.30.0.10:80, NodePort 30001"},
                         {kube::ServiceType::kLoadBalancer, "ClusterIP 172.30.0.10:80, NodePort 30001"}}) {
    World world;
    world.Apply({Cart().NodePort(30001).Type(row.type)});
    EXPECT_EQ(Text(world.Port(kCart).frontends), row.frontends);
  }
}

TEST(Frontends, ALoadBalancerNeedsNoNodePort) {
  World world;
  world.Apply({Cart().LoadBalancerIp("198.51.100.4")});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80, LoadBalancer 198.51.100.4:80");
}

TEST(Frontends, AnAddressThatIsLoadBalancerAndExternalIpStaysBehindItsSourceRanges) {
  World world;
  world.Apply(
      {Cart().ExternalIp("198.51.100.4").LoadBalancerIp("198.51.100.4").SourceRange("203.0.113.0/25")});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80, LoadBalancer 198.51.100.4:80");
}

TEST(Frontends, AClusterIpNamedAsExternalIpKeepsTheInternalPolicy) {
  World world;
  world.Apply({Cart().ExternalIp("172.30.0.10").ExternalIp("198.51.100.22").ExternalIp("198.51.100.22")});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80, ExternalIP 198.51.100.22:80");
}

TEST(Frontends, ExternalIpsRefusedByConfigurationAreNotServedAndSaidOnce) {
  plan::NodeFacts facts = Facts();
  facts.refuse_external_ips = true;
  World world(facts);
  plan::Delta delta =
      world.Apply({Cart().Port("https", 443).ExternalIp("198.51.100.22").ExternalLocal(), CartSlice()});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80");
  EXPECT_FALSE(world.Port(kCart).external_local) << "nobody gets in from outside";
  EXPECT_EQ(
      Text(delta.problems),
      "Service shop/cart: spec.externalIPs: refused by configuration; the service is not served on them");
  EXPECT_EQ(Text(world.Apply({CartSlice().Endpoint("10.180.2.12")}).problems), "");
}

TEST(Frontends, EachPortKeepsItsOwnNumbers) {
  World world;
  world.Apply({Cart().NodePort(30001).Port("dns", 53).Udp().NodePort(30002)});
  EXPECT_EQ(Text(world.Port(kCart).frontends), "ClusterIP 172.30.0.10:80, NodePort 30001");
  EXPECT_EQ(Text(world.Port("shop/cart:dns/UDP IPv4").frontends), "ClusterIP 172.30.0.10:53, NodePort 30002");
}

TEST(Frontends, OneNumberUnderTwoProtocolsIsTwoPorts) {
  World world;
  plan::Delta delta =
      world.Apply({Service("shop/dns").ClusterIp("172.30.0.10").Port("dns", 53).Udp().Port("dns-tcp", 53)});
  EXPECT_EQ(Text(delta.changes), "+shop/dns:dns/UDP IPv4\n+shop/dns:dns-tcp/TCP IPv4");
  EXPECT_EQ(Text(delta.problems), "");
}

TEST(Frontends, OfTwoPortsThatCannotBothBeServedTheFirstIs) {
  struct Row {
    Service service;
    std::string_view served, problem;
  };
  for (const Row& row :
       {Row{Cart().Port("again", 80), "+shop/cart:http/TCP IPv4",
            "Service shop/cart: spec.ports[1].port: expected one that no earlier port of protocol TCP has; "
            "port \"again\" 80/TCP is not served"},
        Row{Cart().Port("http", 81), "+shop/cart:http/TCP IPv4",
            "Service shop/cart: spec.ports[1].name: expected one that no earlier port of protocol TCP has; "
            "port \"http\" 81/TCP is not served"},
        Row{Cart().NodePort(30001).Port("b", 81).NodePort(30001), "+shop/cart:http/TCP IPv4",
            "Service shop/cart: spec.ports[1].nodePort: expected one that no earlier port of protocol TCP "
            "has; "
            "port \"b\" 81/TCP is not served"}}) {
    World world;
    plan::Delta delta = world.Apply({row.service});
    EXPECT_EQ(Text(delta.changes), row.served);
    EXPECT_EQ(Text(delta.problems), row.problem);
  }
}

TEST(Frontends, PortsWithoutNodePortsDoNotClash) {
  World world;
  EXPECT_EQ(Text(world.Apply({Cart().Port("a", 81).Port("b", 82)}).problems), "");
  EXPECT_EQ(world.planner.plan().size(), 3u);
}

// --- policies and lists
// ----------------------------------------------------------------------------------------

struct Policy {
  std::string name;
  Service service;
  bool needs_cluster, needs_local, external_local;
  // The lists for: cluster IP; NodePort, LB or external IP from outside, and from inside.
  std::string_view cluster_ip, outside, inside;
};

void PrintTo(const Policy& p, std::ostream* out) {
  *out << p.name;
}

class PolicyTest : public testing::TestWithParam<Policy> {};

TEST_P(PolicyTest, SaysWhichListServesWhichDestination) {
  const Policy& row = GetParam();
  World world;
  world.Apply({row.service, CartSlice()});
  const ServicePort& port = world.Port(kCart);
  EXPECT_EQ(port.needs_cluster, row.needs_cluster);
  EXPECT_EQ(port.needs_local, row.needs_local);
  EXPECT_EQ(port.external_local, row.external_local);
  for (bool inside : {true, false}) {
    EXPECT_EQ(Text(port.ListFor(FrontendKind::kClusterIp, inside)), row.cluster_ip);
    for (FrontendKind kind :
         {FrontendKind::kNodePort, FrontendKind::kLoadBalancer, FrontendKind::kExternalIp}) {
      EXPECT_EQ(Text(port.ListFor(kind, inside)), inside ? row.inside : row.outside);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, PolicyTest,
    testing::Values(Policy{"BothCluster", Cart().NodePort(30001), true, false, false, kBoth, kBoth, kBoth},
                    Policy{"ExternalLocal", Cart().NodePort(30001).ExternalLocal(), true, true, true, kBoth,
                           kHere, kBoth},
                    Policy{"ExternalLocalByExternalIp", Cart().ExternalIp("198.51.100.22").ExternalLocal(),
                           true, true, true, kBoth, kHere, kBoth},
                    Policy{"ExternalLocalByLoadBalancer",
                           Cart().LoadBalancerIp("198.51.100.4").ExternalLocal(), true, true, true, kBoth,
                           kHere, kBoth},
                    Policy{"ExternalLocalWithoutAWayInIsNone", Cart().ExternalLocal(), true, false, false,
                           kBoth, kBoth, kBoth},
                    Policy{"ExternalLocalBeforeTheLoadBalancerHasAnAddressIsNone",
                           Cart().LoadBalancer().ExternalLocal(), true, false, false, kBoth, kBoth, kBoth},
                    Policy{"InternalLocalInsideTheClusterNeedsNoClusterList", Cart().InternalLocal(), false,
                           true, false, kHere, "", ""},
                    Policy{"InternalLocalLeavesExternalDestinationsAlone",
                           Cart().InternalLocal().NodePort(30001), true, true, false, kHere, kBoth, kBoth},
                    Policy{"BothLocal", Cart().InternalLocal().NodePort(30001).ExternalLocal(), true, true,
                           true, kHere, kHere, kBoth}),
    [](const auto& row) { return row.param.name; });

TEST(Policies, EndpointsElsewhereOnlyAreADropAndNoneAtAllAReject) {
  World world;
  world.Apply(
      {Cart().InternalLocal(), Slice("shop/cart").Port("http", 8080).Endpoint("10.180.2.11").On("n2")});
  EXPECT_TRUE(world.Port(kCart).has_any);
  EXPECT_EQ(Text(world.Port(kCart).local), "");
  world.Remove(kube::Kind::kEndpointSlice, "shop/cart-1");
  EXPECT_FALSE(world.Port(kCart).has_any);
}

TEST(Policies, HintsNarrowTheShortCutOfALocalPolicyButNotItsLocalList) {
  World world;
  world.Apply({Cart().NodePort(30001).ExternalLocal(), Slice("shop/cart")
                                                           .Port("http", 8080)
                                                           .Endpoint("10.180.1.11")
                                                           .On("n1")
                                                           .Zone("b")
                                                           .Endpoint("10.180.2.11")
                                                           .On("n2")
                                                           .Zone("a")});
  const ServicePort& port = world.Port(kCart);
  EXPECT_EQ(Text(port.ListFor(FrontendKind::kNodePort, true)), "10.180.2.11:8080");
  EXPECT_EQ(Text(port.ListFor(FrontendKind::kNodePort, false)), "10.180.1.11:8080");
}

// --- affinity, health check port, source ranges
// ----------------------------------------------------------------

TEST(Affinity, TheTimeoutIsHandedOn) {
  World world;
  world.Apply({Cart().Affinity(60)});
  EXPECT_EQ(world.Port(kCart).affinity_timeout_s, 60u);
}

TEST(HealthCheckNodePort, IsServedForALoadBalancerWithExternalLocalOnly) {
  struct Row {
    Service service;
    uint16_t port;
  };
  for (const Row& row :
       {Row{Cart().LoadBalancerIp("198.51.100.4").ExternalLocal().HealthCheckNodePort(32001), 32001},
        Row{Cart().LoadBalancer().ExternalLocal().HealthCheckNodePort(32001), 32001},
        Row{Cart().LoadBalancerIp("198.51.100.4").HealthCheckNodePort(32001), 0},
        Row{Cart().NodePort(30001).ExternalLocal().HealthCheckNodePort(32001), 0}}) {
    World world;
    world.Apply({row.service, CartSlice()});
    EXPECT_EQ(world.Port(kCart).health_check_node_port, row.port);
  }
}

TEST(HealthCheckNodePort, NeedsTheLocalListEvenBeforeTheLoadBalancerHasAnAddress) {
  World world;
  world.Apply({Cart().LoadBalancer().ExternalLocal().HealthCheckNodePort(32001), CartSlice()});
  EXPECT_TRUE(world.Port(kCart).needs_local);
  EXPECT_EQ(Text(world.Port(kCart).local), kHere);
}

TEST(SourceRanges, OnlyThoseOfTheFamilyCountAndWithoutAnyTheFamilyIsOpen) {
  World world;
  world.Apply({Cart()
                   .ClusterIp("fd00:172:30::10")
                   .LoadBalancerIp("198.51.100.4")
                   .SourceRange("203.0.113.128/25")
                   .SourceRange("203.0.113.0/26")});
  EXPECT_TRUE(world.Port(kCart).has_source_ranges);
  EXPECT_EQ(Text(world.Port(kCart).source_ranges), "203.0.113.0/26 203.0.113.128/25");
  EXPECT_FALSE(world.Port(kCart6).has_source_ranges);
  EXPECT_EQ(Text(world.Port(kCart6).source_ranges), "");
}

TEST(SourceRanges, ANodeInsideThemMayUseTheLoadBalancerAddressAsItsSource) {
  World world;
  world.Apply({Cart()
                   .ClusterIp("fd00:172:30::10")
                   .LoadBalancerIp("198.51.100.4")
                   .LoadBalancerIp("fd00:198:51:100::4")
                   .SourceRange("192.168.99.0/24")
                   .SourceRange("fd00:203:0:113::/64")});
  EXPECT_EQ(Text(world.Port(kCart).source_ranges), "192.168.99.0/24 198.51.100.4/32");
  EXPECT_EQ(Text(world.Port(kCart6).source_ranges), "fd00:203:0:113::/64") << "no node address lies in it";
}

// --- settings
// --------------------------------------------------------------------------------------------------

TEST(Settings, TheAlgorithmIsTheServicesOrTheNodes) {
  plan::NodeFacts facts = Facts();
  facts.default_algorithm = plan::Algorithm::kMaglev;
  World world(facts);
  world.Apply({Cart()});
  EXPECT_EQ(world.Port(kCart).algorithm, plan::Algorithm::kMaglev);
  world.Apply({Cart().Setting("algorithm", "random")});
  EXPECT_EQ(world.Port(kCart).algorithm, plan::Algorithm::kRandom);
}

TEST(Settings, WeightsBelongToBackendsByAddressAndTheRestWeighsOne) {
  World world;
  plan::Delta delta = world.Apply(
      {Cart().Setting("weights", "10.180.2.11=3, 10.180.9.9=1000").InternalLocal().NodePort(30001),
       CartSlice()});
  EXPECT_EQ(Text(delta.problems), "");
  EXPECT_EQ(world.Port(kCart).cluster[0].weight, 1);
  EXPECT_EQ(world.Port(kCart).cluster[1].weight, 3);
  EXPECT_EQ(world.Port(kCart).local[0].weight, 1);
}

TEST(Settings, MalformedOrUnknownOnesAreReportedByServiceAndAnnotationAndHaveNoEffect) {
  struct Row {
    std::string_view key, value, got;
  };
  constexpr std::string_view kWeights =
      "expected address=weight entries with each address once and weights 1-1000, separated by commas, got ";
  for (const Row& row :
       {Row{"weights", "10.180.1.11", "\"10.180.1.11\"; every weight is 1"},
        {"weights", "10.180.1.11=3,pod-a=2", "\"pod-a=2\"; every weight is 1"},
        {"weights", "10.180.1.11=0", "\"10.180.1.11=0\"; every weight is 1"},
        {"weights", "10.180.1.11=1001", "\"10.180.1.11=1001\"; every weight is 1"},
        {"weights", "10.180.1.11=3x", "\"10.180.1.11=3x\"; every weight is 1"},
        {"weights", "10.180.1.11=", "\"10.180.1.11=\"; every weight is 1"},
        {"weights", "10.180.1.11=3,10.180.1.11=4", "\"10.180.1.11=4\"; every weight is 1"},
        {"weights", "10.180.1.11=3,", "\"\"; every weight is 1"},
        {"weights", "", "\"\"; every weight is 1"},
        {"algorithm", "fastest", "expected random or maglev, got \"fastest\"; random is used"},
        {"colour", "red", "expected one of algorithm, weights, forwarding, ipvs-scheduler; it has no effect"},
        {"ipvs-scheduler", "RR",
         "expected one of rr wrr lc wlc sh dh sed nq mh lblc lblcr fo ovf, got \"RR\"; the node's "
         "ipvs.scheduler is used"},
        {"forwarding", "tunnel", "expected nat or dsr, got \"tunnel\"; nat is used"},
        {"forwarding", "DSR", "expected nat or dsr, got \"DSR\"; nat is used"}}) {
    World world;
    plan::Delta delta = world.Apply({Cart().Setting(row.key, row.value), CartSlice()});
    std::string expected = "Service shop/cart: annotation fairlead.io/" + std::string(row.key) + ": " +
                           std::string(row.key == "weights" ? kWeights : "") + std::string(row.got);
    EXPECT_EQ(Text(delta.problems), expected);
    EXPECT_EQ(world.Port(kCart).cluster[0].weight, 1);
    EXPECT_EQ(world.Port(kCart).algorithm, plan::Algorithm::kRandom);
    EXPECT_EQ(world.Port(kCart).forwarding, plan::Forwarding::kNat);
    EXPECT_EQ(world.Port(kCart).scheduler, "");
  }
}

TEST(Settings, TheIpvsSchedulerIsTheServicesAndTheNodesWithoutAWord) {
  World world;
  world.Apply({Cart(), CartSlice()});
  EXPECT_EQ(world.Port(kCart).scheduler, "");
  EXPECT_EQ(Text(world.Apply({Cart().Setting("ipvs-scheduler", "wlc")}).problems), "");
  EXPECT_EQ(world.Port(kCart).scheduler, "wlc");
}

TEST(Settings, WhatTheNodesDatapathDoesNotHaveIsReportedAndServedAsUsual) {
  plan::NodeFacts facts = Facts();
  facts.serves_maglev = facts.serves_dsr = false;
  facts.default_algorithm = plan::Algorithm::kMaglev;
  World world(facts);
  EXPECT_EQ(Text(world.Apply({Cart(), CartSlice()}).problems), "")
      << "the node's own default is not a Service's";
  EXPECT_EQ(world.Port(kCart).algorithm, plan::Algorithm::kRandom);
  const plan::Delta maglev = world.Apply({Cart().Setting("algorithm", "maglev")});
  EXPECT_EQ(Text(maglev.problems),
            "Service shop/cart: annotation fairlead.io/algorithm: maglev is served only in ebpf mode (ipvs: "
            "fairlead.io/ipvs-scheduler: mh); random is used");
  EXPECT_EQ(world.Port(kCart).algorithm, plan::Algorithm::kRandom);
  const plan::Delta dsr = world.Apply({Cart().Setting("forwarding", "dsr")});
  EXPECT_EQ(
      Text(dsr.problems),
      "Service shop/cart: annotation fairlead.io/forwarding: dsr is served only in ebpf mode; nat is used");
  EXPECT_EQ(world.Port(kCart).forwarding, plan::Forwarding::kNat);
}

TEST(Settings, ForwardingIsTheServicesAndNatWithoutAWord) {
  World world;
  world.Apply({Cart(), CartSlice()});
  EXPECT_EQ(world.Port(kCart).forwarding, plan::Forwarding::kNat);
  EXPECT_EQ(Text(world.Apply({Cart().Setting("forwarding", "dsr")}).problems), "");
  EXPECT_EQ(world.Port(kCart).forwarding, plan::Forwarding::kDsr);
  world.Apply({Cart().Setting("forwarding", "nat")});
  EXPECT_EQ(world.Port(kCart).forwarding, plan::Forwarding::kNat);
}

// --- too much
// --------------------------------------------------------------------------------------------------

TEST(TooMany, TheFirst65535BackendsServeAndTheRestIsCounted) {
  kube::EndpointSlice slice = Slice("shop/cart").Port("http", 8080).Object();
  for (uint32_t i = 0; i < 100'000; ++i) {
    kube::Endpoint& endpoint = slice.endpoints.emplace_back();
    uint32_t shuffled = (i * 7919u) % 100'000;
    endpoint.address = Addr("10.0.0.0");
    endpoint.address.raw.bytes[13] = static_cast<uint8_t>(shuffled >> 16);
    endpoint.address.raw.bytes[14] = static_cast<uint8_t>(shuffled >> 8);
    endpoint.address.raw.bytes[15] = static_cast<uint8_t>(shuffled);
  }
  World world;
  plan::Delta delta = world.Apply({Cart(), slice});
  const ServicePort& port = world.Port(kCart);
  ASSERT_EQ(port.cluster.size(), 65535u);
  EXPECT_EQ(port.cluster.front().address, Addr("10.0.0.0"));
  EXPECT_EQ(port.cluster.back().address, Addr("10.0.255.254"));
  EXPECT_EQ(
      Text(delta.problems),
      "Service shop/cart:http/TCP IPv4: expected at most 65535 cluster backends, got 100000; the last 34465 "
      "by address are left out");
  slice.endpoints.pop_back();
  EXPECT_EQ(Text(world.Apply({slice}).problems), "") << "the same matter with another count";
}

}  // namespace
}  // namespace fairlead::test
