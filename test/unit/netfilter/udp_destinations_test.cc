// SPDX-License-Identifier: Apache-2.0
// Which UDP entries of nf_conntrack go: the plan of shop/dns on one side, one entry on the other.
#include "agent/datapath/netfilter/udp_destinations.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>

#include <memory>
#include <optional>

#include "test/support/world.h"

namespace fairlead::netfilter {
namespace {

using namespace std::chrono_literals;
using test::Addr;

ConntrackEntry::End At(std::string_view address, uint16_t port) {
  return {Addr(address), port};
}

// An entry whose answers come from `answers`: translated if that is not the destination.
ConntrackEntry Entry(ConntrackEntry::End destination, ConntrackEntry::End answers) {
  const bool six = destination.address.GetFamily() == Family::kIpv6;
  ConntrackEntry entry{.protocol = IPPROTO_UDP,
                       .source = At(six ? "fd00:10:180::100" : "10.180.0.100", 40000),
                       .destination = destination,
                       .reply_source = answers,
                       .reply_destination = {},
                       .status = IPS_CONFIRMED,
                       .id = 1};
  entry.reply_destination = entry.source;
  if (answers != destination) entry.status |= IPS_DST_NAT;
  return entry;
}

// shop/dns on 172.30.0.10:53 and NodePort 30053, with serving endpoints on port 5353.
std::shared_ptr<plan::ServicePort> Dns(std::initializer_list<std::string_view> backends) {
  auto port = std::make_shared<plan::ServicePort>();
  port->key = {test::Name("shop/dns"), "dns", plan::Protocol::kUdp, Family::kIpv4};
  port->frontends = {
      {plan::FrontendKind::kClusterIp, Addr("172.30.0.10"), 53, plan::Masquerade::kNobody},
      {plan::FrontendKind::kNodePort, plan::AnyAddress(Family::kIpv4), 30053, plan::Masquerade::kAll}};
  for (const auto backend : backends) port->cluster.push_back({.address = Addr(backend), .port = 5353});
  return port;
}

class UdpDestinationsTest : public testing::Test {
 protected:
  UdpDestinationsTest() {
    plan::NodePlan node;
    node.nodeport_addresses = {Addr("192.168.99.11"), Addr("fd00:192:168:99::11")};
    node.loopback_nodeports_v4 = true;
    destinations_.SetNode(node, Family::kIpv4);
  }
  // The service port as it now is; at a time of its own.
  bool Put(const std::shared_ptr<plan::ServicePort>& port) {
    return destinations_.Note({port->key, port}, now_ += 1s);
  }
  bool Remove(const plan::ServicePortKey& key) { return destinations_.Note({key, nullptr}, now_ += 1s); }
  bool Remove() { return Remove(Dns({})->key); }
  bool Stale(ConntrackEntry::End destination, ConntrackEntry::End answers) const {
    return destinations_.Stale(Entry(destination, answers));
  }

  const ConntrackEntry::End vip_ = At("172.30.0.10", 53);
  const ConntrackEntry::End node_port_ = At("192.168.99.11", 30053);
  const ConntrackEntry::End live_ = At("10.180.1.11", 5353);
  const ConntrackEntry::End dead_ = At("10.180.2.11", 5353);
  UdpDestinations destinations_;
  UdpDestinations::TimePoint now_{1000s};
};

TEST_F(UdpDestinationsTest, AnEntryToAServingEndpointStays) {
  Put(Dns({"10.180.1.11"}));
  EXPECT_FALSE(Stale(vip_, live_));
  EXPECT_FALSE(Stale(node_port_, live_));
}

TEST_F(UdpDestinationsTest, AnEntryToAnEndpointThatIsGoneGoes) {
  Put(Dns({"10.180.1.11"}));
  EXPECT_TRUE(Stale(vip_, dead_));
  EXPECT_TRUE(Stale(node_port_, dead_));
}

TEST_F(UdpDestinationsTest, AnEntryFromBeforeTheServiceWasServedGoes) {
  Put(Dns({"10.180.1.11"}));
  EXPECT_TRUE(Stale(vip_, vip_));
  EXPECT_TRUE(Stale(node_port_, node_port_));
}

TEST_F(UdpDestinationsTest, AServingEndpointThatIsInNoListKeepsItsFlows) {
  auto dns = Dns({"10.180.1.11"});
  dns->draining = {{.address = dead_.address, .port = 5353}};
  Put(dns);
  EXPECT_FALSE(Stale(vip_, dead_));
}

TEST_F(UdpDestinationsTest, OnlyTheAddressOfAnEndpointCounts) {
  Put(Dns({"10.180.1.11"}));
  EXPECT_FALSE(Stale(vip_, At("10.180.1.11", 6464)));
}

TEST_F(UdpDestinationsTest, AnUntranslatedEntryToANodeWhoseAddressIsAnEndpointsGoesUnlessThePortIsToo) {
  Put(Dns({"192.168.99.11"}));
  EXPECT_TRUE(Stale(node_port_, node_port_));
  auto dns = Dns({});
  dns->cluster = {{.address = node_port_.address, .port = 30053}};
  Put(dns);
  EXPECT_FALSE(Stale(node_port_, node_port_));
}

TEST_F(UdpDestinationsTest, ScaledToZeroTranslatedEntriesGoAndTheOthersStay) {
  Put(Dns({}));
  EXPECT_TRUE(Stale(vip_, live_)) << "also one from before this agent's time";
  EXPECT_FALSE(Stale(vip_, vip_));
}

TEST_F(UdpDestinationsTest, OfADeletedServiceTheEntriesToItsBackendsGo) {
  Put(Dns({"10.180.1.11"}));
  Remove();
  EXPECT_TRUE(Stale(vip_, live_));
  EXPECT_TRUE(Stale(node_port_, live_));
  EXPECT_FALSE(Stale(vip_, dead_)) << "translated by somebody else";
  EXPECT_FALSE(Stale(vip_, vip_)) << "not translated";
}

TEST_F(UdpDestinationsTest, BackendsThatLeftShortlyBeforeTheServiceDidAreRemembered) {
  Put(Dns({"10.180.1.11", "10.180.2.11"}));
  Put(Dns({}));
  Remove();
  EXPECT_TRUE(Stale(vip_, live_));
  EXPECT_TRUE(Stale(vip_, dead_));
}

TEST_F(UdpDestinationsTest, AFrontendThatAServiceGivesUpIsLikeADeletedService) {
  Put(Dns({"10.180.1.11"}));
  auto dns = Dns({"10.180.1.11"});
  dns->frontends.pop_back();
  EXPECT_TRUE(Put(dns));
  EXPECT_TRUE(Stale(node_port_, live_));
  EXPECT_FALSE(Stale(vip_, live_));
}

TEST_F(UdpDestinationsTest, AFrontendThatMovesToAnotherServiceIsJudgedByThatOne) {
  Put(Dns({"10.180.1.11"}));
  auto other = Dns({"10.180.2.11"});
  other->key.service = test::Name("shop/other");
  Put(other);  // the new owner may come before the old one goes
  Remove();
  EXPECT_TRUE(Stale(vip_, live_));
  EXPECT_FALSE(Stale(vip_, dead_));
}

TEST_F(UdpDestinationsTest, WhatLeftLongAgoIsForgotten) {
  Put(Dns({"10.180.1.11"}));
  Remove();
  EXPECT_FALSE(destinations_.Empty());
  destinations_.Forget(now_);
  EXPECT_TRUE(Stale(vip_, live_)) << "it left at that time, not before";
  destinations_.Forget(now_ + 1s);
  EXPECT_FALSE(Stale(vip_, live_));
  EXPECT_TRUE(destinations_.Empty());
}

TEST_F(UdpDestinationsTest, ANodePortCountsOnAddressesOfTheNodeAlone) {
  Put(Dns({"10.180.1.11"}));
  const auto elsewhere = At("203.0.113.2", 30053);
  EXPECT_FALSE(Stale(elsewhere, elsewhere)) << "a flow through this node";
  EXPECT_TRUE(Stale(At("127.0.0.1", 30053), dead_));
  destinations_.SetNode({}, Family::kIpv4);
  EXPECT_FALSE(Stale(At("127.0.0.1", 30053), dead_));
}

TEST_F(UdpDestinationsTest, AFlowToAnAddressThatAnswersNoMoreGoesWithItsBackend) {
  Put(Dns({"10.180.1.11", "10.180.2.11"}));
  destinations_.SetNode({}, Family::kIpv4);
  EXPECT_FALSE(Stale(node_port_, dead_));
  Put(Dns({"10.180.1.11"}));
  EXPECT_TRUE(Stale(node_port_, dead_));
  EXPECT_FALSE(Stale(node_port_, live_));
}

TEST_F(UdpDestinationsTest, DestinationsOfNobodyStayWhateverIsDoneToThem) {
  Put(Dns({"10.180.1.11"}));
  EXPECT_FALSE(Stale(At("172.30.0.10", 54), dead_));
  EXPECT_FALSE(Stale(At("172.30.0.11", 53), dead_));
  EXPECT_FALSE(Stale(At("192.168.99.11", 53), dead_)) << "a container's published port";
  EXPECT_FALSE(Stale(At("172.30.0.10", 30053), dead_)) << "a NodePort is not served on the cluster IP";
}

TEST_F(UdpDestinationsTest, IsToldWhetherAChangeCanMakeEntriesStale) {
  EXPECT_TRUE(Put(Dns({}))) << "new addresses";
  EXPECT_TRUE(Put(Dns({"10.180.1.11"}))) << "served at last";
  EXPECT_FALSE(Put(Dns({"10.180.1.11", "10.180.2.11"}))) << "one more";
  EXPECT_FALSE(Put(Dns({"10.180.2.11", "10.180.1.11"}))) << "the same";
  EXPECT_TRUE(Put(Dns({"10.180.1.11"}))) << "one less";
  EXPECT_TRUE(Remove());
  EXPECT_FALSE(Remove()) << "nobody knows it";
}

TEST(UdpDestinations6Test, AreJudgedAlike) {
  UdpDestinations destinations;
  auto dns = Dns({"fd00:10:180:1::11"});
  dns->key.family = Family::kIpv6;
  dns->frontends = {
      {plan::FrontendKind::kClusterIp, Addr("fd00:172:30::10"), 53, plan::Masquerade::kNobody},
      {plan::FrontendKind::kNodePort, plan::AnyAddress(Family::kIpv6), 30053, plan::Masquerade::kAll}};
  destinations.Note({dns->key, dns}, {});
  plan::NodePlan node;
  node.nodeport_addresses = {Addr("192.168.99.11"), Addr("fd00:192:168:99::11")};
  destinations.SetNode(node, Family::kIpv6);
  for (const auto& destination : {At("fd00:172:30::10", 53), At("fd00:192:168:99::11", 30053)}) {
    EXPECT_TRUE(destinations.Stale(Entry(destination, destination)));
    EXPECT_TRUE(destinations.Stale(Entry(destination, At("fd00:10:180:2::11", 5353))));
    EXPECT_FALSE(destinations.Stale(Entry(destination, At("fd00:10:180:1::11", 5353))));
  }
  EXPECT_FALSE(destinations.Stale(Entry(At("::1", 30053), At("fd00:10:180:2::11", 5353))));
}

}  // namespace
}  // namespace fairlead::netfilter
