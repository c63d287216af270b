// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/rules.h"

#include <gtest/gtest.h>

#include "test/support/ipvs/fake_host.h"

namespace fairlead::ipvs {
namespace {

using test::FakeTools;

netfilter::NetfilterOptions ByPrefix() {
  netfilter::NetfilterOptions options;
  options.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
  return options;
}

std::string Rendered(Family family, const netfilter::NetfilterOptions& options) {
  std::string text;
  for (const RuleTable& table : RenderRules(family, options)) text += RestoreText(table, "");
  return text;
}

TEST(Rules, TheWholeOfThem) {
  EXPECT_EQ(
      Rendered(Family::kIpv4, ByPrefix()),
      "*mangle\n"
      ":FAIRLEAD-IPVS-GUARD - [0:0]\n"
      "-A FAIRLEAD-IPVS-GUARD -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n"
      "-A FAIRLEAD-IPVS-GUARD -m set --match-set FAIRLEAD-RANGED dst,dst -m set ! --match-set "
      "FAIRLEAD-RANGES dst,dst,src -j DROP\n"
      "-A FAIRLEAD-IPVS-GUARD -m set ! --match-set FAIRLEAD-LOCAL-NONE dst,dst -j RETURN\n"
      "-A FAIRLEAD-IPVS-GUARD -m addrtype --src-type LOCAL -j RETURN\n"
      "-A FAIRLEAD-IPVS-GUARD -m set --match-set FAIRLEAD-PODS src -j RETURN\n"
      "-A FAIRLEAD-IPVS-GUARD -j DROP\n"
      "-I INPUT -j FAIRLEAD-IPVS-GUARD\n"
      "-I OUTPUT -j FAIRLEAD-IPVS-GUARD\n"
      "COMMIT\n"
      "*filter\n"
      ":FAIRLEAD-IPVS-INPUT - [0:0]\n"
      ":FAIRLEAD-IPVS-FORWARD - [0:0]\n"
      "-A FAIRLEAD-IPVS-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n"
      "-A FAIRLEAD-IPVS-INPUT -p tcp -m set --match-set FAIRLEAD-HEALTH dst -j ACCEPT\n"
      "-A FAIRLEAD-IPVS-INPUT -p tcp -m set --match-set FAIRLEAD-NO-BACKENDS dst,dst -j REJECT "
      "--reject-with tcp-reset\n"
      "-A FAIRLEAD-IPVS-INPUT -m set ! --match-set FAIRLEAD-ADDRESSES dst -j RETURN\n"
      "-A FAIRLEAD-IPVS-INPUT -m set --match-set FAIRLEAD-FRONTENDS dst,dst -j RETURN\n"
      "-A FAIRLEAD-IPVS-INPUT -p icmp -j RETURN\n"
      "-A FAIRLEAD-IPVS-INPUT -p tcp -j REJECT --reject-with tcp-reset\n"
      "-A FAIRLEAD-IPVS-INPUT -j REJECT --reject-with icmp-port-unreachable\n"
      "-A FAIRLEAD-IPVS-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
      "-I INPUT -j FAIRLEAD-IPVS-INPUT\n"
      "-I FORWARD -j FAIRLEAD-IPVS-FORWARD\n"
      "COMMIT\n"
      "*nat\n"
      ":FAIRLEAD-IPVS-MARK - [0:0]\n"
      ":FAIRLEAD-IPVS-SERVICES - [0:0]\n"
      ":FAIRLEAD-IPVS-POSTROUTING - [0:0]\n"
      "-A FAIRLEAD-IPVS-MARK -j MARK --set-xmark 0x4000/0x4000\n"
      "-A FAIRLEAD-IPVS-SERVICES -m set ! --match-set FAIRLEAD-FRONTENDS dst,dst -j RETURN\n"
      "-A FAIRLEAD-IPVS-SERVICES -m set --match-set FAIRLEAD-MASQ-ALL dst,dst -j FAIRLEAD-IPVS-MARK\n"
      "-A FAIRLEAD-IPVS-SERVICES -m addrtype --src-type LOCAL -j FAIRLEAD-IPVS-MARK\n"
      "-A FAIRLEAD-IPVS-SERVICES -m set --match-set FAIRLEAD-PODS src -j RETURN\n"
      "-A FAIRLEAD-IPVS-SERVICES -m set --match-set FAIRLEAD-MASQ-OUTSIDE dst,dst -j FAIRLEAD-IPVS-MARK\n"
      "-A FAIRLEAD-IPVS-POSTROUTING -m set --match-set FAIRLEAD-HAIRPIN dst,dst,src -j FAIRLEAD-IPVS-MARK\n"
      "-A FAIRLEAD-IPVS-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
      "-A FAIRLEAD-IPVS-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n"
      "-A FAIRLEAD-IPVS-POSTROUTING -j MASQUERADE --random-fully\n"
      "-I PREROUTING -j FAIRLEAD-IPVS-SERVICES\n"
      "-I OUTPUT -j FAIRLEAD-IPVS-SERVICES\n"
      "-I POSTROUTING -j FAIRLEAD-IPVS-POSTROUTING\n"
      "COMMIT\n");
}

TEST(Rules, Ipv6HasItsOwnSetsAndItsOwnRefusal) {
  const std::string text = Rendered(Family::kIpv6, ByPrefix());
  EXPECT_NE(text.find("--match-set FAIRLEAD-FRONTENDS-6 dst,dst"), std::string::npos);
  EXPECT_NE(text.find("-p ipv6-icmp -j RETURN"), std::string::npos);
  EXPECT_NE(text.find("--reject-with icmp6-port-unreachable"), std::string::npos);
}

TEST(Rules, PodsAreToldByWhatTheDetectorGoesBy) {
  using By = netfilter::LocalTraffic::By;
  netfilter::NetfilterOptions options;
  options.local_traffic = {By::kBridge, "cni0"};
  EXPECT_NE(Rendered(Family::kIpv4, options).find("-A FAIRLEAD-IPVS-SERVICES -i cni0 -j RETURN"),
            std::string::npos);
  options.local_traffic = {By::kDevicePrefix, "veth"};
  EXPECT_NE(Rendered(Family::kIpv4, options).find("-A FAIRLEAD-IPVS-GUARD -i veth+ -j RETURN"),
            std::string::npos);
  options.local_traffic = {};
  EXPECT_EQ(Rendered(Family::kIpv4, options).find("FAIRLEAD-PODS"), std::string::npos);
}

TEST(Rules, TheMarkIsTheConfiguredBit) {
  netfilter::NetfilterOptions options;
  options.mark = 1U << 20;
  EXPECT_NE(Rendered(Family::kIpv4, options).find("--set-xmark 0x100000/0x100000"), std::string::npos);
}

TEST(RestoreText, AJumpThatStandsIsNotAddedAgain) {
  const RuleTable nat = RenderRules(Family::kIpv4, {}).back();
  const std::string text =
      RestoreText(nat, "*nat\n-A PREROUTING -j FAIRLEAD-IPVS-SERVICES\n-A OUTPUT -j KUBE-SERVICES\nCOMMIT\n");
  EXPECT_EQ(text.find("-I PREROUTING"), std::string::npos);
  EXPECT_NE(text.find("-I OUTPUT -j FAIRLEAD-IPVS-SERVICES\n"), std::string::npos);
}

TEST(RemoveText, TakesOursAndNothingElse) {
  EXPECT_EQ(RemoveText("filter",
                       "*filter\n"
                       ":INPUT ACCEPT [0:0]\n"
                       ":FAIRLEAD-IPVS-INPUT - [3:180]\n"
                       ":FAIRLEAD-SERVICES - [0:0]\n"
                       ":KUBE-FIREWALL - [0:0]\n"
                       "-A INPUT -j FAIRLEAD-IPVS-INPUT\n"
                       "-A INPUT -j KUBE-FIREWALL\n"
                       "-A FAIRLEAD-IPVS-INPUT -p icmp -j RETURN\n"
                       "COMMIT\n"),
            "*filter\n"
            ":FAIRLEAD-IPVS-INPUT - [0:0]\n"
            "-D INPUT -j FAIRLEAD-IPVS-INPUT\n"
            "-X FAIRLEAD-IPVS-INPUT\n"
            "COMMIT\n");
  EXPECT_EQ(RemoveText("nat", "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), "");
}

TEST(RemoveText, ARuleThatOnlyMentionsOursStays) {
  constexpr std::string_view kSaved =
      "*filter\n"
      ":INPUT ACCEPT [0:0]\n"
      "-A INPUT -m comment --comment \"x -j FAIRLEAD-IPVS-INPUT\" -j ACCEPT\n"
      "-A INPUT -j LOG --log-prefix \"FAIRLEAD-IPVS-INPUT \"\n"
      "COMMIT\n";
  EXPECT_EQ(RemoveText("filter", kSaved), "");
  EXPECT_EQ(OurLines(kSaved), std::vector<std::string>());
}

TEST(RulesTool, WhatStandsIsNotWrittenAgainAndWhatWasChangedIs) {
  FakeTools tools;
  RulesTool rules(tools.Run(), "iptables");
  const std::vector<RuleTable> tables = RenderRules(Family::kIpv4, ByPrefix());
  ASSERT_TRUE(rules.Stand(tables));
  const std::string stood = tools.Rules("nat");
  EXPECT_EQ(tools.log.size(), 1u) << "one program for every table";
  EXPECT_EQ(*rules.Stand(tables), 0u);
  EXPECT_EQ(tools.log.size(), 1u);

  tools.chains["iptables nat"]["FAIRLEAD-IPVS-SERVICES"].clear();
  tools.chains["iptables nat"]["PREROUTING"].clear();
  EXPECT_NE(*rules.Stand(tables), 0u);
  EXPECT_EQ(tools.log.size(), 2u);
  EXPECT_EQ(tools.Rules("nat"), stood);
}

TEST(RulesTool, RemovalLeavesTheTablesAsTheyWere) {
  FakeTools tools;
  tools.chains["iptables nat"]["PREROUTING"] = {"-j KUBE-SERVICES"};
  const std::string before = tools.Rules("nat");
  RulesTool rules(tools.Run(), "iptables");
  ASSERT_TRUE(rules.Stand(RenderRules(Family::kIpv4, ByPrefix())));
  EXPECT_TRUE(*rules.Remove());
  EXPECT_EQ(OurLines(tools.Rules("nat")), std::vector<std::string>());
  EXPECT_NE(tools.Rules("nat").find("-A PREROUTING -j KUBE-SERVICES"), std::string::npos);
  EXPECT_FALSE(*rules.Remove());
}

}  // namespace
}  // namespace fairlead::ipvs
