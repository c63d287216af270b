// SPDX-License-Identifier: Apache-2.0
// What the rules say, word by word, and what becomes of a packet by them.
#include "agent/datapath/nftables/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "test/support/nftables/tracer.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::nftables {
namespace {

using plan::Masquerade::kOutside;
using test::PortOf;
using testing::ElementsAre;

Wording By(netfilter::LocalTraffic::By by, std::string device = {}) {
  return {0x4000, {by, std::move(device)}};
}

// Of one chain, and of IPv4 where both families have the like.
std::vector<std::string> RulesIn(const std::string& script, const std::string& chain) {
  std::vector<std::string> rules;
  std::istringstream lines(script);
  const std::string start = "add rule inet fairlead " + chain + " ";
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(start) && line.find("ip6") == line.npos) rules.push_back(line.substr(start.size()));
  }
  return rules;
}

TEST(NftablesScriptTest, AnAddressLeadsToAChainThroughOneMap) {
  EXPECT_THAT(RulesIn(ChainsScript(netfilter::Serves::kAll), "services"),
              ElementsAre("ip daddr . meta l4proto . th dport @guarded4 "
                          "ip daddr . meta l4proto . th dport . ip saddr != @source-ranges4 drop",
                          "ip daddr . meta l4proto . th dport vmap @services4",
                          "ip daddr @nodeport-addresses4 meta l4proto . th dport vmap @nodeports4"));
}

TEST(NftablesScriptTest, WhatWasNotTranslatedIsRefused) {
  EXPECT_THAT(
      RulesIn(ChainsScript(netfilter::Serves::kAll), "after-nat"),
      ElementsAre("ct status dnat goto remember", "ip daddr . meta l4proto . th dport vmap @no-endpoints4",
                  "ip daddr @nodeport-addresses4 meta l4proto . th dport vmap @no-endpoint-nodeports4",
                  "ip daddr @cluster-ips4 goto rejects", "ip daddr @service-cidrs4 drop"));
}

TEST(NftablesScriptTest, TheMarkIsTakenOffWhereItHasDoneItsWork) {
  EXPECT_THAT(
      RulesIn(HooksScript({0x8000, {}}, netfilter::Serves::kAll), "postrouting"),
      ElementsAre("meta mark and 0x8000 != 0 meta mark set meta mark and 0xffff7fff masquerade fully-random",
                  "ct status dnat ip saddr . ip daddr @hairpin4 masquerade fully-random"));
}

TEST(NftablesScriptTest, PrefixesWithinOthersAreLeftOutOfTheNodesSets) {
  plan::NodePlan node;
  node.nodeport_addresses = {test::Addr("192.168.99.11"), test::Addr("fd00:192:168:99::11")};
  node.pod_cidrs = {test::Range("10.180.0.0/16"), test::Range("10.180.1.0/24")};
  EXPECT_EQ(NodeScript(node),
            "flush set inet fairlead nodeport-addresses4\n"
            "add element inet fairlead nodeport-addresses4 { 192.168.99.11 }\n"
            "flush set inet fairlead pods4\n"
            "add element inet fairlead pods4 { 10.180.0.0/16 }\n"
            "flush set inet fairlead service-cidrs4\n"
            "flush set inet fairlead nodeport-addresses6\n"
            "add element inet fairlead nodeport-addresses6 { fd00:192:168:99::11 }\n"
            "flush set inet fairlead pods6\n"
            "flush set inet fairlead service-cidrs6\n");
}

TEST(NftablesScriptTest, ExternalPolicyLocalAsksForPodsFirstThenForTheNode) {
  const Chain local{Chain::Kind::kLocal, false, Family::kIpv4, 3, 2};
  EXPECT_THAT(
      local.Rules(By(netfilter::LocalTraffic::By::kPrefix)),
      ElementsAre("ip saddr @pods4 goto pick4-3", "fib saddr type local goto masquerade4-3", "goto here4-2"));
  EXPECT_THAT(local.Rules(By(netfilter::LocalTraffic::By::kNothing)),
              ElementsAre("fib saddr type local goto masquerade4-3", "goto here4-2"));
}

TEST(NftablesScriptTest, WithoutALocalBackendClientsFromOutsideAreDropped) {
  const Chain local{Chain::Kind::kLocal, true, Family::kIpv6, 3, 0};
  EXPECT_THAT(local.Rules(By(netfilter::LocalTraffic::By::kDevicePrefix, "veth")),
              ElementsAre("iifname \"veth*\" goto node-pick6-3",
                          "fib saddr type local goto node-masquerade6-3", "drop"));
}

TEST(NftablesScriptTest, WhoIsNoPodIsMarked) {
  const Chain outside{Chain::Kind::kOutside, false, Family::kIpv6, 3, 0};
  EXPECT_THAT(outside.Rules(By(netfilter::LocalTraffic::By::kBridge, "cbr0")),
              ElementsAre("iifname != \"cbr0\" meta mark set meta mark or 0x4000", "goto pick6-3"));
}

TEST(NftablesScriptTest, AChoiceDrawsOneOfItsOwnNumbers) {
  const Chain here{Chain::Kind::kHere, false, Family::kIpv4, 0, 2};
  ASSERT_EQ(here.MapRules().size(), 2U);
  EXPECT_EQ(here.MapRules()[0].ToText(), "ip daddr . meta l4proto . th dport vmap @sticky-here4");
  EXPECT_EQ(
      here.MapRules()[1].ToText(),
      "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 offset 65536 map @backends4");
}

struct NftablesTraceTest : testing::Test {
  NftablesTraceTest() : tracer(Options()) {
    node.nodeport_addresses = {test::Addr("192.168.99.11")};
    node.pod_cidrs = {test::Range("10.180.0.0/16")};
    node.service_cidrs = {test::Range("172.30.0.0/16")};
  }
  static netfilter::NetfilterOptions Options() {
    netfilter::NetfilterOptions options;
    options.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
    return options;
  }
  void Given(std::vector<PortOf> ports) {
    plan::Plan plan;
    for (const PortOf& port : ports) plan[port.Get().key] = plan::Change(port).now;
    tracer.Program(plan, node);
  }
  // "10.180.1.11 masqueraded, drop"
  std::string From(std::string_view source, std::string_view to, uint16_t port, bool of_node = false) {
    test::TracePacket packet;
    packet.source = test::Addr(source);
    packet.destination = test::Addr(to);
    packet.destination_port = port;
    packet.of_node = of_node;
    std::string text;
    for (const test::Traced& traced : tracer.Trace(packet)) {
      if (!text.empty()) text += ", ";
      text += traced.end == test::TraceEnd::kReached    ? traced.backend.ToString()
              : traced.end == test::TraceEnd::kRejected ? "reject"
              : traced.end == test::TraceEnd::kDropped  ? "drop"
                                                        : "pass";
      if (traced.masqueraded) text += " masqueraded";
    }
    return text;
  }

  test::NftablesTracer tracer;
  plan::NodePlan node;
};

TEST_F(NftablesTraceTest, ExternalPolicyLocalServesEachKindOfClientFromItsList) {
  Given({PortOf("shop/web")
             .ExternalLocal()
             .ClusterIp("172.30.0.10", 80, kOutside)
             .NodePort(30001)
             .On({"10.180.1.11:8080 local", "10.180.2.11:8080"})
             .LocalOn({"10.180.1.11:8080"})});
  EXPECT_EQ(From("203.0.113.2", "192.168.99.11", 30001), "10.180.1.11");
  EXPECT_EQ(From("10.180.0.100", "192.168.99.11", 30001), "10.180.1.11, 10.180.2.11");
  EXPECT_EQ(From("192.168.99.11", "192.168.99.11", 30001, true),
            "10.180.1.11 masqueraded, 10.180.2.11 masqueraded");
  EXPECT_EQ(From("10.180.1.11", "172.30.0.10", 80), "10.180.1.11 masqueraded, 10.180.2.11");
}

TEST_F(NftablesTraceTest, WhatIsNoServiceIsRefusedAsItShouldBe) {
  Given({PortOf("shop/web").ClusterIp("172.30.0.10", 80, kOutside).On({"10.180.1.11:8080"}),
         PortOf("shop/empty").ClusterIp("172.30.0.11", 80, kOutside).NodePort(30002),
         PortOf("shop/away").InternalLocal().ClusterIp("172.30.0.12", 80, kOutside).Elsewhere()});
  EXPECT_EQ(From("10.180.0.100", "172.30.0.10", 81), "reject");
  EXPECT_EQ(From("10.180.0.100", "172.30.0.11", 80), "reject");
  EXPECT_EQ(From("203.0.113.2", "192.168.99.11", 30002), "reject");
  EXPECT_EQ(From("10.180.0.100", "172.30.0.12", 80), "drop");
  EXPECT_EQ(From("10.180.0.100", "172.30.99.99", 80), "drop");
  EXPECT_EQ(From("10.180.0.100", "192.0.2.1", 80), "pass");
  EXPECT_EQ(From("203.0.113.2", "192.168.99.11", 30003), "pass");
}

TEST_F(NftablesTraceTest, SourceRangesDropBeforeTheChoice) {
  Given({PortOf("shop/web")
             .LoadBalancer("198.51.100.4", 80)
             .NodePort(30001)
             .Ranges({"203.0.113.0/25", "203.0.113.0/26"})
             .On({"10.180.1.11:8080"})});
  EXPECT_EQ(From("203.0.113.2", "198.51.100.4", 80), "10.180.1.11 masqueraded");
  EXPECT_EQ(From("203.0.113.130", "198.51.100.4", 80), "drop");
  EXPECT_EQ(From("203.0.113.130", "192.168.99.11", 30001), "10.180.1.11 masqueraded");
}

}  // namespace
}  // namespace fairlead::nftables
