// SPDX-License-Identifier: Apache-2.0
// What the writer does to the tables, change by change.
#include "agent/datapath/ebpf/writer.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/reader.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::Addr;
using test::Backends;
using test::ClusterIpAt;
using test::LoadBalancerAt;
using test::NodePortAt;
using test::PortOf;
using test::Range;
using test::Rig;
using testing::IsEmpty;

const plan::Frontend kVip = ClusterIpAt("172.30.0.10", 80);

PortOf Cart() {
  return PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080", "10.180.2.11:8080"});
}

PortOf Full() {
  return Cart()
      .LoadBalancer("198.51.100.4", 80)
      .NodePort(30001)
      .LocalOn({"10.180.1.11:8080"})
      .ExternalLocal()
      .Affinity(60)
      .Maglev()
      .Ranges({"203.0.113.0/24"});
}

TEST(Writer, AServiceIsServedAtItsAddress) {
  Rig rig;
  rig.Apply({Cart()});
  EXPECT_EQ(rig.Entry(kVip), "shop/cart:http\n  random: 10.180.1.11:8080, 10.180.2.11:8080");
  EXPECT_EQ(rig.Entries().at("address 172.30.0.10"), "cluster IP");
}

TEST(Writer, ScopesPoliciesAndSourceRangesReachTheirEntries) {
  Rig rig;
  rig.Apply({Full()});
  EXPECT_EQ(rig.Entry(kVip),
            "shop/cart:http, affinity 60 s\n  maglev: 10.180.1.11:8080 50%, 10.180.2.11:8080 50%");
  EXPECT_EQ(rig.Entry(LoadBalancerAt("198.51.100.4", 80)),
            "shop/cart:http, affinity 60 s, only from 203.0.113.0/24, outside differs\n"
            "  maglev: 10.180.1.11:8080 50%, 10.180.2.11:8080 50%");
  EXPECT_EQ(
      rig.Entry(LoadBalancerAt("198.51.100.4", 80), SCOPE_EXTERNAL),
      "shop/cart:http, affinity 60 s, only from 203.0.113.0/24\n  maglev: 10.180.1.11:8080 (local) 100%");
  EXPECT_EQ(rig.Entry(NodePortAt(30001), SCOPE_EXTERNAL),
            "shop/cart:http, affinity 60 s\n  maglev: 10.180.1.11:8080 (local) 100%");
}

TEST(Writer, WhatIsAppliedAgainStoresNothing) {
  Rig rig;
  rig.Apply({Full(), PortOf("shop/dns:dns").Udp().ClusterIp("172.30.0.10", 53).On({"10.180.1.12:53"})});
  rig.Settle();
  bool touched = false;
  rig.OnStep([&] { touched = true; });
  EXPECT_EQ(rig.Cost([&] {
    rig.Apply({Full(), PortOf("shop/dns:dns").Udp().ClusterIp("172.30.0.10", 53).On({"10.180.1.12:53"})});
  }),
            0U);
  rig.Settle();
  EXPECT_FALSE(touched) << "not even a keyed table";
}

TEST(Writer, AChangeCostsWhatChangesNotWhatStands) {
  Rig small, large;
  large.Apply({PortOf("big/one").ClusterIp("172.30.1.1", 80).On(Backends(2000))});
  for (uint16_t i = 0; i < 40; ++i) {
    large.Apply(
        {PortOf(fmt::format("other/s{}", i)).ClusterIp(fmt::format("172.30.2.{}", i), 80).On(Backends(5))});
  }
  uint64_t costs[2];
  for (Rig* rig : {&small, &large}) {
    rig->Apply({Cart()});
    rig->Settle();
    costs[rig == &large] = rig->Cost([&] {
      rig->Apply({Cart().On({"10.180.1.11:8080", "10.180.2.12:8080"})});
      rig->Settle();
    });
  }
  EXPECT_EQ(costs[0], costs[1]);
  // A run of three records written, the old one cleared, an id, a flip.
  EXPECT_LE(costs[0], 2 * 3 * sizeof(record) + 3 * sizeof(uint64_t));
}

TEST(Writer, ARemovedServiceLeavesNothingAfterTheGracePeriod) {
  Rig rig;
  std::string empty = rig.Usage();
  rig.Apply({Full()});
  rig.Settle();
  EXPECT_NE(rig.Usage(), empty);
  rig.Apply({Gone(Full())});
  EXPECT_THAT(rig.Entries(), IsEmpty());
  rig.Settle();
  EXPECT_EQ(rig.Usage(), empty);
  EXPECT_EQ(rig.memory.services.size(), 0U);
  EXPECT_EQ(rig.memory.source_ranges.size(), 0U);
  for (const record& r : rig.memory.backends) EXPECT_EQ(r.run.kind, RECORD_FREE);
  for (const frontend_slot& slot : rig.memory.frontends) EXPECT_EQ(slot.scope, 0);
}

TEST(Writer, RemovingWhatIsNotThereIsNoMatter) {
  Rig rig;
  EXPECT_EQ(rig.Cost([&] { rig.Apply({Gone(Cart())}); }), 0U);
}

TEST(Writer, AnOldRunStandsUntilItsReadersAreGone) {
  Rig rig;
  rig.grace = ManualGrace(false);
  rig.Apply({Cart()});
  test::Reader reader(rig.tables());
  auto old = *reader.Find(FrontendKey(kVip, plan::Protocol::kTcp, SCOPE_CLUSTER));
  run head_before = *reader.Head(old);
  for (int i = 0; i < 5; ++i) {
    rig.Apply({Cart().On(Backends(3, static_cast<uint32_t>(i)))});
    rig.reclaimer->Poll();  // without Finish: the first grace period goes on
  }
  EXPECT_EQ(std::memcmp(reader.Head(old), &head_before, sizeof(run)), 0);
  EXPECT_EQ(Address{reader.Backend(old, 0)->addr}, Addr("10.180.1.11"));
  rig.Settle();
  EXPECT_EQ(reader.Head(old)->kind, RECORD_FREE);
}

TEST(Writer, AnAddressThatMovesWithinOneBatchAlwaysHasAnOwner) {
  for (bool to_lesser_name : {false, true}) {
    Rig rig;
    std::string from = to_lesser_name ? "shop/b" : "shop/a";
    std::string to = to_lesser_name ? "shop/a" : "shop/b";
    auto with_vip = [](const std::string& name, std::string_view backend) {
      return PortOf(name).ClusterIp("172.30.0.10", 80).On({backend});
    };
    rig.Apply({with_vip(from, "10.180.1.11:80")});
    int steps = 0;
    rig.OnStep([&] {
      ++steps;
      EXPECT_NE(rig.Entry(kVip), "-");
      EXPECT_EQ(rig.Entries().at("address 172.30.0.10"), "cluster IP");
    });
    std::vector<plan::Change> batch{with_vip(to, "10.180.1.12:80"),
                                    PortOf(from).ClusterIp("172.30.0.11", 80).On({"10.180.1.11:80"})};
    std::sort(batch.begin(), batch.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    rig.Apply(batch);
    EXPECT_GT(steps, 0);
    rig.Settle();
    EXPECT_THAT(rig.Entry(kVip), testing::StartsWith(to));
    // And when the loser goes altogether.
    rig.Apply({PortOf(from).ClusterIp("172.30.0.10", 80).On({"10.180.1.11:80"}),
               Gone(with_vip(to, "10.180.1.12:80"))});
    EXPECT_THAT(rig.Entry(kVip), testing::StartsWith(from));
  }
}

TEST(Writer, APolicyFlipsWithOneStoreAnEntry) {
  Rig rig;
  rig.Apply({Full()});
  std::string before = rig.Entry(LoadBalancerAt("198.51.100.4", 80));
  PortOf changed = Full().Affinity(30).Ranges({"198.18.0.0/15"});
  Rig other;
  other.Apply({changed});
  std::string after = other.Entry(LoadBalancerAt("198.51.100.4", 80));
  ASSERT_NE(before, after);
  rig.OnStep([&] {
    std::string now = rig.Entry(LoadBalancerAt("198.51.100.4", 80));
    EXPECT_TRUE(now == before || now == after) << now;
  });
  rig.Apply({changed});
  rig.Settle();
  EXPECT_EQ(rig.Entry(LoadBalancerAt("198.51.100.4", 80)), after);
  EXPECT_EQ(rig.memory.source_ranges.size(), 1U) << "the old set is gone";
}

TEST(Writer, RangesNobodyMatchesLetNobodyIn) {
  Rig rig;
  rig.Apply({Cart().LoadBalancer("198.51.100.4", 80).Ranges({})});
  EXPECT_THAT(rig.Entry(LoadBalancerAt("198.51.100.4", 80)), testing::HasSubstr("only from nobody"));
}

TEST(Writer, EqualListsShareARun) {
  Rig rig;
  rig.Apply({PortOf("shop/cart")
                 .ClusterIp("172.30.0.10", 80)
                 .NodePort(30001)
                 .On({"10.180.1.11:8080 local"})
                 .LocalOn({"10.180.1.11:8080"})
                 .ExternalLocal()});
  EXPECT_EQ(rig.writer->Usages()[1].used, 2U);
}

TEST(Writer, WithoutEndpointsItRejectsAndWithoutLocalOnesItDrops) {
  Rig rig;
  rig.Apply({PortOf("shop/cart").ClusterIp("172.30.0.10", 80)});
  EXPECT_EQ(rig.Entry(kVip), "shop/cart:http\n  reject");
  rig.Apply({Cart().InternalLocal()});
  EXPECT_EQ(rig.Entry(kVip), "shop/cart:http\n  drop");
}

TEST(Writer, TheIdOfABackendIsItsOwnWhereverItServes) {
  Rig rig;
  rig.Apply(
      {Cart(), PortOf("shop/all").ClusterIp("172.30.0.11", 80).On({"10.180.2.11:8080", "10.180.3.11:8080"})});
  auto cart = rig.BackendIds(kVip);
  auto all = rig.BackendIds(ClusterIpAt("172.30.0.11", 80));
  std::vector<uint32_t> both;
  std::set_intersection(cart.begin(), cart.end(), all.begin(), all.end(), std::back_inserter(both));
  EXPECT_EQ(both.size(), 1U);
  // It survives a change of the backends around it.
  rig.Apply({Cart().On({"10.180.2.11:8080", "10.180.9.9:8080"})});
  rig.Settle();
  auto now = rig.BackendIds(kVip);
  EXPECT_EQ(std::count(now.begin(), now.end(), both.at(0)), 1);
}

// What a hash leads to, by address.
std::vector<std::string> MaglevChoices(Rig& rig) {
  test::Reader reader(rig.tables());
  auto found = *reader.Find(FrontendKey(kVip, plan::Protocol::kTcp, SCOPE_CLUSTER));
  std::vector<std::string> choices;
  for (uint64_t hash = 0; hash < 1ULL << 32; hash += 0x00f1c0de) {
    choices.push_back(
        Address{reader.Maglev(found, *reader.Head(found), static_cast<uint32_t>(hash))->addr}.ToString());
  }
  return choices;
}

TEST(Writer, NodesWhoseIdsDifferMakeTheSameMaglevChoices) {
  Rig mine, theirs;
  auto backends = Backends(20);
  std::vector<plan::Backend> backwards(backends.rbegin(), backends.rend());
  for (const auto& backend : backwards) {
    theirs.Apply({PortOf("other/" + std::to_string(backend.address.raw.bytes[15]))
                      .ClusterIp("172.30.1." + std::to_string(backend.address.raw.bytes[15]), 80)
                      .On(std::vector{backend})});
  }
  for (Rig* rig : {&mine, &theirs}) {
    rig->Apply({PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On(backends).Maglev()});
  }
  test::Reader a(mine.tables()), b(theirs.tables());
  auto key = FrontendKey(kVip, plan::Protocol::kTcp, SCOPE_CLUSTER);
  ASSERT_NE(Address{a.Backend(*a.Find(key), 0)->addr}, Address{b.Backend(*b.Find(key), 0)->addr})
      << "ids do not differ";
  EXPECT_EQ(MaglevChoices(mine), MaglevChoices(theirs));
}

// --- the node

plan::NodePlan Node() {
  plan::NodePlan node;
  node.nodeport_addresses = {Addr("192.168.99.11")};
  node.loopback_nodeports_v4 = true;
  node.service_cidrs = {Range("172.30.0.0/16"), Range("fd00:172:30::/112")};
  return node;
}

TEST(WriterNode, AddressesHaveTheirRoles) {
  Rig rig;
  ASSERT_TRUE(rig.writer->ApplyNode(Node()));
  EXPECT_EQ(rig.Entries().at("address 192.168.99.11"), "node");
  EXPECT_EQ(rig.Entries().at("address 127.0.0.1"), "loopback");
  EXPECT_EQ(rig.Cost([&] { ASSERT_TRUE(rig.writer->ApplyNode(Node())); }), 0U);
  auto moved = Node();
  moved.nodeport_addresses = {Addr("192.168.99.12")};
  ASSERT_TRUE(rig.writer->ApplyNode(moved));
  EXPECT_FALSE(rig.Entries().contains("address 192.168.99.11"));
  EXPECT_EQ(rig.Entries().at("address 192.168.99.12"), "node");
}

TEST(WriterNode, AnAddressMayHaveSeveralRolesAndLosesThemOneByOne) {
  Rig rig;
  ASSERT_TRUE(rig.writer->ApplyNode(Node()));
  PortOf here = PortOf("shop/here").ClusterIp("192.168.99.11", 80).On({"10.180.1.11:80"});
  PortOf also = PortOf("shop/also").ClusterIp("192.168.99.11", 81).On({"10.180.1.11:80"});
  rig.Apply({here, also});
  EXPECT_EQ(rig.Entries().at("address 192.168.99.11"), "cluster IP, node");
  rig.Apply({Gone(here)});
  EXPECT_EQ(rig.Entries().at("address 192.168.99.11"), "cluster IP, node");
  rig.Apply({Gone(also)});
  EXPECT_EQ(rig.Entries().at("address 192.168.99.11"), "node");
}

TEST(WriterNode, WhereTheTableIsFullTheRestIsWrittenAndTheNextCallFinishes) {
  Capacities capacities = test::SmallCapacities();
  capacities.frontends = 4;
  Rig rig(capacities);
  plan::NodePlan node;
  for (int i = 1; i <= 6; ++i) node.nodeport_addresses.push_back(Addr(fmt::format("192.168.99.{}", i)));
  node.service_cidrs = {Range("172.30.0.0/16")};
  auto applied = rig.writer->ApplyNode(node);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().kind, ErrorKind::kExhausted);
  node.nodeport_addresses = {Addr("192.168.99.5"), Addr("192.168.99.6")};
  // Two calls: in the first, addresses may come before others go.
  (void)rig.writer->ApplyNode(node);
  ASSERT_TRUE(rig.writer->ApplyNode(node));
  rig.Settle();
  EXPECT_EQ(test::Dump(rig.tables()),
            "  address 192.168.99.5 -> node\n  address 192.168.99.6 -> node\n  service CIDR 172.30.0.0/16\n");
}

TEST(WriterNode, ServiceCidrsAreThoseGivenLast) {
  Rig rig;
  ASSERT_TRUE(rig.writer->ApplyNode(Node()));
  rig.Settle();
  test::Reader reader(rig.tables());
  EXPECT_TRUE(reader.InServiceCidr(Addr("172.30.9.9")));
  EXPECT_TRUE(reader.InServiceCidr(Addr("fd00:172:30::9")));
  EXPECT_FALSE(reader.InServiceCidr(Addr("172.31.0.1")));
  auto changed = Node();
  changed.service_cidrs = {Range("10.96.0.0/12")};
  ASSERT_TRUE(rig.writer->ApplyNode(changed));
  rig.Settle();
  EXPECT_FALSE(reader.InServiceCidr(Addr("172.30.9.9")));
  EXPECT_FALSE(reader.InServiceCidr(Addr("fd00:172:30::9")));
  EXPECT_TRUE(reader.InServiceCidr(Addr("10.100.0.1")));
}

// Changes that follow each other at any distance from a grace period's end: no element is rewritten while a
// reader that saw it in use may still look at it.
TEST(WriterNode, AServiceCidrIsRewrittenOnlyAfterItsReadersAreGone) {
  Rig rig;
  rig.grace = ManualGrace(false);
  auto change = [&](std::string_view cidr) {
    plan::NodePlan node;
    node.service_cidrs = {Range(cidr)};
    ASSERT_TRUE(rig.writer->ApplyNode(node));
  };
  change("10.1.0.0/16");
  rig.reclaimer->Poll();  // its grace period begins
  change("10.2.0.0/16");
  rig.grace.Finish();
  rig.reclaimer->Poll();  // and ends: another begins, for the second change
  change("10.3.0.0/16");
  rig.grace.Finish();
  rig.reclaimer->Poll();  // too early for the third
  EXPECT_FALSE(test::Reader(rig.tables()).InServiceCidr(Addr("10.3.0.1")));
  rig.Settle();
  EXPECT_TRUE(test::Reader(rig.tables()).InServiceCidr(Addr("10.3.0.1")));
}

TEST(WriterNode, TooManyServiceCidrsAreRefusedAndThoseThatStandStay) {
  Rig rig;
  ASSERT_TRUE(rig.writer->ApplyNode(Node()));
  rig.Settle();
  auto node = Node();
  for (int i = 0; i <= static_cast<int>(SERVICE_CIDRS_MAX); ++i) {
    node.service_cidrs.push_back(Range(fmt::format("10.{}.0.0/16", i)));
  }
  auto applied = rig.writer->ApplyNode(node);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().kind, ErrorKind::kExhausted);
  EXPECT_TRUE(test::Reader(rig.tables()).InServiceCidr(Addr("172.30.9.9")));
}

}  // namespace
}  // namespace fairlead::ebpf
