// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/render.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ipvs {
namespace {

using plan::Masquerade::kOutside;
using test::Addr;
using test::PortOf;

// Servers with their backends, then elements, then addresses; a line each.
std::string Text(const Contribution& made) {
  std::string text;
  for (const VirtualServer& server : made.servers) {
    text += fmt::format("{} {}/{:#x}/{}:", server.key.ToString(), server.options.scheduler,
                        server.options.flags, server.options.affinity_timeout_s);
    for (const auto& [backend, weight] : server.backends)
      text += fmt::format(" {}={}", backend.ToString(), weight);
    for (const BackendKey& backend : server.lingering) text += fmt::format(" ({})", backend.ToString());
    text += "\n";
  }
  for (const Element& element : made.elements)
    text += fmt::format("{} {}\n", SetName(element.set), element.text);
  for (const Address& address : made.addresses) text += address.ToString() + "\n";
  return text;
}

std::string Rendered(const PortOf& port, std::vector<Address> nodeport_addresses = {}) {
  return Text(Render(port.Get(), nodeport_addresses, "rr"));
}

TEST(Render, AClusterIpHasAServerAnAddressAndMasqueradesWhoIsNoPod) {
  EXPECT_EQ(Rendered(PortOf("shop/cart")
                         .ClusterIp("172.30.0.10", 80, kOutside)
                         .On({"10.180.0.11:8080 local", "10.180.1.11:8080"})),
            "172.30.0.10:80/TCP rr/0x0/0: 10.180.0.11:8080=1 10.180.1.11:8080=1\n"
            "FAIRLEAD-MASQ-OUTSIDE 172.30.0.10,tcp:80\n"
            "FAIRLEAD-HAIRPIN 10.180.0.11,tcp:8080,10.180.0.11\n"
            "172.30.0.10\n");
}

TEST(Render, ANodePortHasAServerOnEveryAddressOfItsFamilyAndPutsNoneOnTheDevice) {
  const std::vector<Address> node = {Addr("192.168.99.11"), Addr("192.168.100.11"), Addr("fd00::11")};
  EXPECT_EQ(Rendered(PortOf("shop/cart").NodePort(30001).On({"10.180.1.11:8080"}), node),
            "192.168.99.11:30001/TCP rr/0x0/0: 10.180.1.11:8080=1\n"
            "192.168.100.11:30001/TCP rr/0x0/0: 10.180.1.11:8080=1\n"
            "FAIRLEAD-MASQ-ALL 192.168.100.11,tcp:30001\n"
            "FAIRLEAD-MASQ-ALL 192.168.99.11,tcp:30001\n");
}

TEST(Render, AffinityIsPersistence) {
  EXPECT_EQ(Rendered(PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080"}).Affinity(60)),
            "172.30.0.10:80/TCP rr/0x1/60: 10.180.1.11:8080=1\n172.30.0.10\n");
}

TEST(Render, TheServicesSchedulerGoesBeforeTheNodes) {
  PortOf port = PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080"});
  EXPECT_EQ(Rendered(port.Scheduler("mh")),
            "172.30.0.10:80/TCP mh/0x18/0: 10.180.1.11:8080=1\n172.30.0.10\n");
  EXPECT_EQ(Rendered(port.Scheduler("sh")), "172.30.0.10:80/TCP sh/0x8/0: 10.180.1.11:8080=1\n172.30.0.10\n");
}

TEST(Render, AnExternalLocalServiceHasItsLocalBackendsAndNoMark) {
  EXPECT_EQ(Rendered(PortOf("shop/cart")
                         .LoadBalancer("198.51.100.4", 80)
                         .ExternalLocal()
                         .On({"10.180.0.11:8080 local", "10.180.1.11:8080"})
                         .LocalOn({"10.180.0.11:8080"})),
            "198.51.100.4:80/TCP rr/0x0/0: 10.180.0.11:8080=1\n"
            "FAIRLEAD-HAIRPIN 10.180.0.11,tcp:8080,10.180.0.11\n"
            "198.51.100.4\n");
}

TEST(Render, AnExternalLocalServiceWithoutLocalBackendIsForPodsAndTheNodeOnly) {
  EXPECT_EQ(
      Rendered(PortOf("shop/cart").LoadBalancer("198.51.100.4", 80).ExternalLocal().On({"10.180.1.11:8080"})),
      "198.51.100.4:80/TCP rr/0x0/0: 10.180.1.11:8080=1\n"
      "FAIRLEAD-LOCAL-NONE 198.51.100.4,tcp:80\n"
      "198.51.100.4\n");
}

TEST(Render, WithoutAnyBackendAnExternalLocalServiceRefusesInsteadOfDropping) {
  EXPECT_EQ(Rendered(PortOf("shop/cart").LoadBalancer("198.51.100.4", 80).ExternalLocal()),
            "198.51.100.4:80/TCP rr/0x0/0:\nFAIRLEAD-NO-BACKENDS 198.51.100.4,tcp:80\n198.51.100.4\n");
}

TEST(Render, AFrontendIsRefusedWhereverItHasNobodyToChoose) {
  EXPECT_EQ(
      Rendered(PortOf("shop/cart").ClusterIp("172.30.0.10", 80).NodePort(30001).InternalLocal().Elsewhere(),
               {Addr("192.168.99.11")}),
      "172.30.0.10:80/TCP rr/0x0/0:\n"
      "192.168.99.11:30001/TCP rr/0x0/0:\n"
      "FAIRLEAD-NO-BACKENDS 172.30.0.10,tcp:80\n"
      "FAIRLEAD-NO-BACKENDS 192.168.99.11,tcp:30001\n"
      "FAIRLEAD-MASQ-ALL 192.168.99.11,tcp:30001\n"
      "172.30.0.10\n");
}

TEST(Render, SourceRangesAreOfLoadBalancerAddressesOnly) {
  EXPECT_EQ(Rendered(PortOf("shop/cart")
                         .LoadBalancer("198.51.100.4", 80)
                         .ExternalIp("198.51.100.22", 80)
                         .On({"10.180.1.11:8080"})
                         .Ranges({"203.0.113.0/25", "203.0.113.200/32"})),
            "198.51.100.22:80/TCP rr/0x0/0: 10.180.1.11:8080=1\n"
            "198.51.100.4:80/TCP rr/0x0/0: 10.180.1.11:8080=1\n"
            "FAIRLEAD-RANGES 198.51.100.4,tcp:80,203.0.113.0/25\n"
            "FAIRLEAD-RANGES 198.51.100.4,tcp:80,203.0.113.200\n"
            "FAIRLEAD-RANGED 198.51.100.4,tcp:80\n"
            "FAIRLEAD-MASQ-ALL 198.51.100.22,tcp:80\n"
            "FAIRLEAD-MASQ-ALL 198.51.100.4,tcp:80\n"
            "198.51.100.22\n198.51.100.4\n");
}

TEST(Render, ARangeOfEverybodyIsTwoHalves) {
  EXPECT_EQ(NetTexts(*Cidr::Parse("0.0.0.0/0")), (std::vector<std::string>{"0.0.0.0/1", "128.0.0.0/1"}));
  EXPECT_EQ(NetTexts(*Cidr::Parse("::/0")), (std::vector<std::string>{"::/1", "8000::/1"}));
}

TEST(Render, TheSetsOfIpv6HaveNamesOfTheirOwn) {
  EXPECT_EQ(Rendered(PortOf("shop/cart").ClusterIp("fd00:172:30::10", 80, kOutside)),
            "[fd00:172:30::10]:80/TCP rr/0x0/0:\n"
            "FAIRLEAD-NO-BACKENDS-6 fd00:172:30::10,tcp:80\n"
            "FAIRLEAD-MASQ-OUTSIDE-6 fd00:172:30::10,tcp:80\n"
            "fd00:172:30::10\n");
}

TEST(Render, AUdpFrontendKnowsTheBackendsItsFlowsMayStayOn) {
  EXPECT_EQ(Rendered(PortOf("shop/dns:dns")
                         .Udp()
                         .LoadBalancer("198.51.100.4", 53)
                         .ExternalLocal()
                         .On({"10.180.0.11:53 local", "10.180.1.11:53"})
                         .LocalOn({"10.180.0.11:53"})
                         .Draining({"10.180.0.12:53 local"})),
            "198.51.100.4:53/UDP rr/0x0/0: 10.180.0.11:53=1 (10.180.0.12:53) (10.180.1.11:53)\n"
            "FAIRLEAD-HAIRPIN 10.180.0.11,udp:53,10.180.0.11\n"
            "198.51.100.4\n");
}

TEST(Render, AHealthCheckNodePortIsLetIn) {
  EXPECT_EQ(Rendered(PortOf("shop/cart").HealthCheckNodePort(32001)), "FAIRLEAD-HEALTH 32001\n");
}

TEST(RenderNode, PodsAreByPrefix) {
  plan::NodePlan node;
  node.pod_cidrs = {*Cidr::Parse("10.180.0.0/16"), *Cidr::Parse("fd00:10:180::/48")};
  const std::vector<Element> expected = {{{SetKind::kPods, Family::kIpv4}, "10.180.0.0/16"},
                                         {{SetKind::kPods, Family::kIpv6}, "fd00:10:180::/48"}};
  EXPECT_EQ(RenderNode(node), expected);
}

}  // namespace
}  // namespace fairlead::ipvs
