// SPDX-License-Identifier: Apache-2.0
// What is rendered of one service port. Chains are shown by their kind: SVC for FAIRLEAD-SVC-<hash>.
#include "agent/datapath/iptables/service_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include <fmt/format.h>

#include "agent/datapath/iptables/names.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::iptables {
namespace {

using plan::Masquerade::kOutside;
using test::Addr;
using test::PortOf;
using testing::HasSubstr;
using testing::Not;

const NodeMatches kNode{"0x4000/0x4000", {"-s 10.180.0.0/16"}, {Addr("192.168.99.11")}};

std::string Show(const PortOf& port, const NodeMatches& node = kNode) {
  static constexpr std::string_view kNames[] = {"nat by address", "nat by port", "filter by address",
                                                "filter by port", "health"};
  const ServiceRules rules = RenderService(port.Get(), node);
  std::string text;
  for (const Hook& hook : rules.hooks) {
    text += fmt::format("{}: {}\n", kNames[static_cast<size_t>(hook.place)], hook.rule);
  }
  for (const auto& [chain, body] : rules.chains) text += body;
  text = std::regex_replace(text, std::regex("FAIRLEAD-(SVC|LOC|EXT|INT|FW|MEM)-[0-9A-Z]{15}"), "$1");
  text = std::regex_replace(text, std::regex(" -m comment --comment \"shop/cart:http\""), "");
  return "\n" + text;
}

TEST(ServiceRules, AClusterIpIsTranslatedByChanceAndMarkedForWhoIsNoPod) {
  EXPECT_EQ(Show(PortOf("shop/cart")
                     .ClusterIp("172.30.0.10", 80, kOutside)
                     .On({"10.180.2.11:8080", "10.180.2.12:8080", "10.180.1.11:8080 local"})),
            R"(
nat by address: -d 172.30.0.10/32 -p tcp -m tcp --dport 80 -j SVC
-A SVC -j FAIRLEAD-OUTSIDE
-A SVC -p tcp -m statistic --mode random --probability 0.33333333349 -j DNAT --to-destination 10.180.1.11:8080
-A SVC -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.180.2.11:8080
-A SVC -p tcp -j DNAT --to-destination 10.180.2.12:8080
)");
}

TEST(ServiceRules, NobodyIsMarkedOnTheWayToAClusterIpWithoutADetector) {
  EXPECT_EQ(Show(PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.2.11:8080"})),
            R"(
nat by address: -d 172.30.0.10/32 -p tcp -m tcp --dport 80 -j SVC
-A SVC -p tcp -j DNAT --to-destination 10.180.2.11:8080
)");
}

TEST(ServiceRules, WhoComesFromOutsideIsMarkedAndAClusterIpOfTheSameServiceIsNot) {
  EXPECT_EQ(Show(PortOf("shop/cart")
                     .ClusterIp("172.30.0.10", 80, kOutside)
                     .NodePort(30001)
                     .On({"10.180.2.11:8080"})),
            R"(
nat by address: -d 172.30.0.10/32 -p tcp -m tcp --dport 80 -j INT
nat by port: -p tcp -m tcp --dport 30001 -j EXT
-A INT -j FAIRLEAD-OUTSIDE
-A INT -j SVC
-A EXT -j MARK --set-xmark 0x4000/0x4000
-A EXT -j SVC
-A SVC -p tcp -j DNAT --to-destination 10.180.2.11:8080
)");
}

TEST(ServiceRules, ExternalLocalGivesPodsAndTheNodeTheClusterListAndOthersTheLocalOne) {
  EXPECT_EQ(Show(PortOf("shop/cart")
                     .NodePort(30001)
                     .ExternalLocal()
                     .On({"10.180.2.11:8080", "10.180.1.11:8080 local"})
                     .LocalOn({"10.180.1.11:8080"})),
            R"(
nat by port: -p tcp -m tcp --dport 30001 -j EXT
-A EXT -s 10.180.0.0/16 -j SVC
-A EXT -m addrtype --src-type LOCAL -j MARK --set-xmark 0x4000/0x4000
-A EXT -m addrtype --src-type LOCAL -j SVC
-A EXT -j LOC
-A SVC -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.180.1.11:8080
-A SVC -p tcp -j DNAT --to-destination 10.180.2.11:8080
-A LOC -p tcp -j DNAT --to-destination 10.180.1.11:8080
)");
}

TEST(ServiceRules, ExternalLocalWithoutALocalBackendDropsWhatIsNotTranslated) {
  EXPECT_EQ(Show(PortOf("shop/cart").NodePort(30001).ExternalLocal().On({"10.180.2.11:8080"})), R"(
nat by port: -p tcp -m tcp --dport 30001 -j EXT
filter by port: -p tcp -m tcp --dport 30001 -j DROP
-A EXT -s 10.180.0.0/16 -j SVC
-A EXT -m addrtype --src-type LOCAL -j MARK --set-xmark 0x4000/0x4000
-A EXT -m addrtype --src-type LOCAL -j SVC
-A SVC -p tcp -j DNAT --to-destination 10.180.2.11:8080
)");
}

TEST(ServiceRules, SourceRangesGuardTheLoadBalancerAddressAndNothingElse) {
  EXPECT_EQ(Show(PortOf("shop/cart")
                     .ExternalIp("198.51.100.22", 80)
                     .LoadBalancer("198.51.100.4", 80)
                     .Ranges({"203.0.113.0/24"})
                     .On({"10.180.2.11:8080"})),
            R"(
nat by address: -d 198.51.100.22/32 -p tcp -m tcp --dport 80 -j EXT
nat by address: -d 198.51.100.4/32 -p tcp -m tcp --dport 80 -j FW
filter by address: -d 198.51.100.4/32 -p tcp -m tcp --dport 80 -j DROP
-A EXT -j MARK --set-xmark 0x4000/0x4000
-A EXT -j SVC
-A FW -s 203.0.113.0/24 -j EXT
-A SVC -p tcp -j DNAT --to-destination 10.180.2.11:8080
)");
}

TEST(ServiceRules, ANodeInTheSourceRangesMayHaveTheLoadBalancerAddressAsItsSource) {
  EXPECT_THAT(Show(PortOf("shop/cart")
                       .LoadBalancer("198.51.100.4", 80)
                       .Ranges({"192.168.99.0/24"})
                       .On({"10.180.2.11:8080"})),
              HasSubstr("-A FW -s 198.51.100.4/32 -d 198.51.100.4/32 -j EXT\n"));
}

TEST(ServiceRules, WithoutAnyEndpointEveryFrontendIsRejected) {
  EXPECT_EQ(Show(PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside).NodePort(30001)), R"(
filter by address: -d 172.30.0.10/32 -p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset
filter by port: -p tcp -m tcp --dport 30001 -j REJECT --reject-with tcp-reset
)");
}

TEST(ServiceRules, AUdpClientIsToldByIcmp) {
  EXPECT_THAT(Show(PortOf("shop/cart:dns").Udp().ClusterIp("172.30.0.10", 53, kOutside)),
              HasSubstr("-j REJECT --reject-with icmp-port-unreachable\n"));
  EXPECT_THAT(Show(PortOf("shop/cart:dns").Udp().ClusterIp("fd00:172:30::10", 53, kOutside)),
              HasSubstr("-j REJECT --reject-with icmp6-port-unreachable\n"));
}

TEST(ServiceRules, InternalLocalWithEndpointsElsewhereOnlyIsDropped) {
  EXPECT_EQ(Show(PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside).InternalLocal().Elsewhere()), R"(
filter by address: -d 172.30.0.10/32 -p tcp -m tcp --dport 80 -j DROP
)");
}

TEST(ServiceRules, AffinityAsksForTheRememberedBackendFirstAndRenewsIt) {
  EXPECT_EQ(Show(PortOf("shop/cart")
                     .ClusterIp("172.30.0.10", 80)
                     .Affinity(60)
                     .On({"10.180.2.11:8080", "10.180.2.12:8080"})),
            R"(
nat by address: -d 172.30.0.10/32 -p tcp -m tcp --dport 80 -j SVC
-A SVC -p tcp -m recent --update --seconds 60 --reap --name MEM --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.180.2.11:8080
-A SVC -p tcp -m recent --update --seconds 60 --reap --name MEM --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.180.2.12:8080
-A SVC -p tcp -m statistic --mode random --probability 0.50000000000 -m recent --set --name MEM --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.180.2.11:8080
-A SVC -p tcp -m recent --set --name MEM --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.180.2.12:8080
)");
}

TEST(ServiceRules, TheHealthCheckNodePortIsLetIn) {
  EXPECT_THAT(Show(PortOf("shop/cart").NodePort(30001).HealthCheckNodePort(32001)),
              HasSubstr("health: -p tcp -m comment --comment \"shop/cart:http health check node port\" "
                        "-m tcp --dport 32001 -j ACCEPT\n"));
}

TEST(ServiceRules, EveryChainSaysWhoseItIs) {
  const auto rules = RenderService(PortOf("shop/cart").NodePort(30001).On({"10.180.2.11:8080"}).Get(), kNode);
  for (const auto& [chain, body] : rules.chains) {
    EXPECT_THAT(body.substr(0, body.find('\n')), HasSubstr("--comment \"shop/cart:http\"")) << chain;
  }
}

TEST(ServiceRules, AnIpv6BackendStandsInBrackets) {
  EXPECT_THAT(
      Show(PortOf("shop/cart").ClusterIp("fd00:172:30::10", 80, kOutside).On({"[fd00:10:180:2::11]:8080"})),
      HasSubstr("-j DNAT --to-destination [fd00:10:180:2::11]:8080\n"));
}

// --- long lists

TEST(ServiceRules, ALongListIsPartedSoThatAPacketMeetsFewRules) {
  const PortOf port = PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On(test::Backends(900));
  const auto rules = RenderService(port.Get(), kNode);
  size_t backends = 0;
  for (const auto& [chain, body] : rules.chains) {
    EXPECT_LE(std::ranges::count(body, '\n'), 30) << chain;
    for (size_t at = 0; (at = body.find("DNAT", at)) != std::string::npos; ++at) ++backends;
  }
  EXPECT_EQ(backends, 900U);
}

TEST(ServiceRules, ABackendWithoutWeightGetsNoNewConnection) {
  const PortOf port = PortOf("shop/cart")
                          .ClusterIp("172.30.0.10", 80, kOutside)
                          .On({"10.180.2.11:8080 weight=0", "10.180.2.12:8080"});
  const auto rules = RenderService(port.Get(), kNode);
  EXPECT_THAT(rules.chains[0].second, Not(HasSubstr("10.180.2.11")));
  EXPECT_THAT(rules.chains[0].second, HasSubstr("-A " + rules.chains[0].first +
                                                " -p tcp -j DNAT --to-destination 10.180.2.12:8080\n"));
}

TEST(ServiceRules, AHeavierBackendIsChosenMoreOften) {
  EXPECT_THAT(Show(PortOf("shop/cart")
                       .ClusterIp("172.30.0.10", 80, kOutside)
                       .On({"10.180.2.11:8080 weight=3", "10.180.2.12:8080"})),
              HasSubstr("--probability 0.75000000000 "));
}

}  // namespace
}  // namespace fairlead::iptables
