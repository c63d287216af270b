// SPDX-License-Identifier: Apache-2.0
// What becomes of packets under the rules of iptables mode; and that the tracer does not pass over what it
// does not know.
#include "test/support/iptables/tracer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::test {
namespace {

using plan::Masquerade::kOutside;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

class TracerTest : public testing::Test {
 protected:
  TracerTest() {
    options_.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
    node_.nodeport_addresses = {Addr("192.168.99.11")};
    node_.pod_cidrs = {Range("10.180.0.0/16")};
    node_.loopback_nodeports_v4 = true;
  }

  std::set<Traced> Trace(const PortOf& port, const TracePacket& packet) {
    const plan::Change change = port;
    IptablesTracer tracer(options_);
    tracer.Program({{change.key, change.now}}, node_);
    return tracer.Trace(packet);
  }
  static TracePacket From(std::string_view source, std::string_view destination, uint16_t port) {
    TracePacket packet;
    packet.source = Addr(source);
    packet.destination = Addr(destination);
    packet.destination_port = port;
    packet.of_node = source == "192.168.99.11" || source == "127.0.0.1";
    return packet;
  }
  static Traced Kept(std::string_view backend) { return {TraceEnd::kReached, Addr(backend), 8080, false}; }
  static Traced Masqueraded(std::string_view backend) {
    return {TraceEnd::kReached, Addr(backend), 8080, true};
  }
  static Traced End(TraceEnd end) { return {end, {}, 0, false}; }

  static PortOf Web() {
    return PortOf("shop/web")
        .ClusterIp("172.30.0.10", 80, kOutside)
        .NodePort(30001)
        .On({"10.180.1.11:8080 local", "10.180.2.11:8080"});
  }

  netfilter::NetfilterOptions options_;
  plan::NodePlan node_;
};

TEST_F(TracerTest, APodReachesEveryBackendOfAClusterIpWithItsOwnAddress) {
  EXPECT_THAT(Trace(Web(), From("10.180.1.100", "172.30.0.10", 80)),
              UnorderedElementsAre(Kept("10.180.1.11"), Kept("10.180.2.11")));
}

TEST_F(TracerTest, WhoIsNoPodIsMasqueradedOnTheWayToAClusterIp) {
  EXPECT_THAT(Trace(Web(), From("203.0.113.2", "172.30.0.10", 80)),
              UnorderedElementsAre(Masqueraded("10.180.1.11"), Masqueraded("10.180.2.11")));
}

TEST_F(TracerTest, ABackendThatReachesItselfIsMasquerated) {
  EXPECT_THAT(Trace(Web(), From("10.180.1.11", "172.30.0.10", 80)),
              UnorderedElementsAre(Masqueraded("10.180.1.11"), Kept("10.180.2.11")));
}

TEST_F(TracerTest, ANodePortAnswersAtTheNodeAndAtLocalhost) {
  const auto both = UnorderedElementsAre(Masqueraded("10.180.1.11"), Masqueraded("10.180.2.11"));
  EXPECT_THAT(Trace(Web(), From("203.0.113.2", "192.168.99.11", 30001)), both);
  EXPECT_THAT(Trace(Web(), From("127.0.0.1", "127.0.0.1", 30001)), both);
}

TEST_F(TracerTest, NobodyElsewhereReachesANodePortByWayOfLocalhost) {
  EXPECT_THAT(Trace(Web(), From("203.0.113.2", "127.0.0.1", 30001)), ElementsAre(End(TraceEnd::kDropped)));
}

TEST_F(TracerTest, APortNobodyDefinedIsPassed) {
  EXPECT_THAT(Trace(Web(), From("10.180.1.100", "172.30.0.10", 81)), ElementsAre(End(TraceEnd::kPassed)));
  EXPECT_THAT(Trace(Web(), From("203.0.113.2", "192.168.99.11", 80)), ElementsAre(End(TraceEnd::kPassed)));
}

TEST_F(TracerTest, ExternalLocalTellsOutsidePodAndNodeApart) {
  const PortOf local = Web().ExternalLocal().LocalOn({"10.180.1.11:8080"});
  EXPECT_THAT(Trace(local, From("203.0.113.2", "192.168.99.11", 30001)), ElementsAre(Kept("10.180.1.11")));
  EXPECT_THAT(Trace(local, From("10.180.1.100", "192.168.99.11", 30001)),
              UnorderedElementsAre(Kept("10.180.1.11"), Kept("10.180.2.11")));
  EXPECT_THAT(Trace(local, From("192.168.99.11", "192.168.99.11", 30001)),
              UnorderedElementsAre(Masqueraded("10.180.1.11"), Masqueraded("10.180.2.11")));
}

TEST_F(TracerTest, ExternalLocalWithoutALocalBackendDropsWhoIsOutside) {
  const PortOf remote = PortOf("shop/web").NodePort(30001).On({"10.180.2.11:8080"}).ExternalLocal();
  EXPECT_THAT(Trace(remote, From("203.0.113.2", "192.168.99.11", 30001)),
              ElementsAre(End(TraceEnd::kDropped)));
}

TEST_F(TracerTest, WithoutEndpointsEverybodyIsRejected) {
  const PortOf empty =
      PortOf("shop/web").ClusterIp("172.30.0.10", 80, kOutside).ExternalIp("198.51.100.22", 80);
  for (const char* source : {"10.180.1.100", "203.0.113.2", "192.168.99.11"}) {
    EXPECT_THAT(Trace(empty, From(source, "172.30.0.10", 80)), ElementsAre(End(TraceEnd::kRejected)));
    EXPECT_THAT(Trace(empty, From(source, "198.51.100.22", 80)), ElementsAre(End(TraceEnd::kRejected)));
  }
}

TEST_F(TracerTest, WhoIsInNoSourceRangeIsDropped) {
  const PortOf guarded =
      PortOf("shop/web").LoadBalancer("198.51.100.4", 80).Ranges({"203.0.113.0/25"}).On({"10.180.2.11:8080"});
  EXPECT_THAT(Trace(guarded, From("203.0.113.2", "198.51.100.4", 80)),
              ElementsAre(Masqueraded("10.180.2.11")));
  EXPECT_THAT(Trace(guarded, From("203.0.113.130", "198.51.100.4", 80)),
              ElementsAre(End(TraceEnd::kDropped)));
  EXPECT_THAT(Trace(guarded, From("10.180.1.100", "198.51.100.4", 80)), ElementsAre(End(TraceEnd::kDropped)));
}

TEST_F(TracerTest, PodsMayBeToldByTheirDevice) {
  options_.local_traffic = {netfilter::LocalTraffic::By::kDevicePrefix, "veth"};
  TracePacket packet = From("203.0.113.2", "172.30.0.10", 80);
  packet.device = "veth7";
  EXPECT_TRUE(Trace(Web(), packet).contains(Kept("10.180.1.11")));
  packet.device = "eth0";
  EXPECT_TRUE(Trace(Web(), packet).contains(Masqueraded("10.180.1.11")));
}

// --- the tracer itself

IptablesRules Loaded(std::string_view rules) {
  IptablesRules loaded(IptablesRules::World{});
  loaded.Load(rules);
  return loaded;
}

RulePacket SomePacket() {
  RulePacket packet;
  packet.source = Addr("10.0.0.1");
  packet.destination = Addr("10.0.0.2");
  return packet;
}

TEST(IptablesRules, AMatchItDoesNotKnowIsAnError) {
  const auto rules =
      Loaded("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m quota --quota 5 -j ACCEPT\nCOMMIT\n");
  EXPECT_THROW(rules.Walk("nat", "PREROUTING", SomePacket()), std::runtime_error);
}

TEST(IptablesRules, ATargetItDoesNotKnowIsAnError) {
  const auto rules =
      Loaded("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NETMAP --to 10.0.0.0/8\nCOMMIT\n");
  EXPECT_THROW(rules.Walk("nat", "PREROUTING", SomePacket()), std::runtime_error);
}

TEST(IptablesRules, ASetIsAskedOfTheCaller) {
  IptablesRules rules({{}, [](const std::string& set, const std::string& flags, const RulePacket&) {
                         return set == "FAIRLEAD-VIPS" && flags == "dst,dst";
                       }});
  rules.Load(
      "*nat\n:PREROUTING ACCEPT [0:0]\n"
      "-A PREROUTING -m set --match-set FAIRLEAD-VIPS dst,dst -j MARK --set-xmark 0x1/0x1\nCOMMIT\n");
  EXPECT_EQ(rules.Walk("nat", "PREROUTING", SomePacket()).begin()->packet.mark, 1U);
}

TEST(IptablesRules, AnInvertedMatchIsTheOpposite) {
  const auto rules = Loaded("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT ! -s 10.0.0.1/32 -j DROP\nCOMMIT\n");
  EXPECT_EQ(rules.Walk("filter", "INPUT", SomePacket()).begin()->end, RuleEnd::kOn);
}

}  // namespace
}  // namespace fairlead::test
