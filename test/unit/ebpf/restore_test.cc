// SPDX-License-Identifier: Apache-2.0
// A new agent run over tables of an earlier one.
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
using test::PortOf;
using test::Range;
using test::Rig;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const plan::Frontend kVip = ClusterIpAt("172.30.0.10", 80);

PortOf Cart() {
  return PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080", "10.180.2.11:8080"});
}
PortOf Guarded() {
  return PortOf("shop/guarded")
      .ClusterIp("172.30.0.11", 80)
      .LoadBalancer("198.51.100.4", 80)
      .NodePort(30001)
      .On({"10.180.1.11:8080", "10.180.3.11:8080"})
      .LocalOn({"10.180.1.11:8080"})
      .ExternalLocal()
      .Affinity(60)
      .Maglev()
      .Ranges({"203.0.113.0/24", "198.18.0.0/15"});
}
PortOf Dns() {
  return PortOf("kube-system/dns:dns")
      .Udp()
      .ClusterIp("172.30.0.12", 53)
      .On({"10.180.1.12:53"})
      .Draining({"10.180.1.13:53 terminating"});
}
plan::NodePlan Node() {
  plan::NodePlan node;
  node.nodeport_addresses = {Addr("192.168.99.11")};
  node.loopback_nodeports_v4 = true;
  node.service_cidrs = {Range("172.30.0.0/16"), Range("fd00:172:30::/112")};
  return node;
}

struct RestoreTest : testing::Test {
  RestoreTest() {
    rig.Apply({Dns(), Cart(), Guarded()});
    EXPECT_TRUE(rig.writer->ApplyNode(Node()));
    rig.Settle();
  }
  Rig rig;
};

TEST_F(RestoreTest, TheSamePlanHasNothingToDo) {
  std::string dump = test::Dump(rig.tables());
  std::string usage = rig.Usage();
  EXPECT_THAT(rig.Restart(), IsEmpty());
  EXPECT_EQ(rig.Usage(), usage);
  EXPECT_EQ(rig.Cost([&] {
    rig.Apply({Dns(), Cart(), Guarded()});
    ASSERT_TRUE(rig.writer->ApplyNode(Node()));
    ASSERT_TRUE(rig.writer->Prune());
    rig.Settle();
  }),
            0U);
  EXPECT_EQ(test::Dump(rig.tables()), dump);
  EXPECT_EQ(rig.Usage(), usage);
}

TEST_F(RestoreTest, NothingChangesBeforePruning) {
  std::string dump = test::Dump(rig.tables());
  rig.Restart();
  rig.Apply({Cart()});
  rig.Settle();
  EXPECT_EQ(test::Dump(rig.tables()), dump);
}

TEST_F(RestoreTest, WhatThePlanNoLongerKnowsGoesWithPruning) {
  rig.Restart();
  rig.Apply({Cart()});
  ASSERT_TRUE(rig.writer->Prune());
  rig.Settle();
  EXPECT_EQ(test::Dump(rig.tables()),
            "  172.30.0.10:80/TCP -> shop/cart:http\n    random: 10.180.1.11:8080, 10.180.2.11:8080\n"
            "  address 172.30.0.10 -> cluster IP\n"
            "  service CIDR 172.30.0.0/16\n  service CIDR fd00:172:30::/112\n");
  EXPECT_EQ(rig.memory.services.size(), 1U);
  EXPECT_EQ(rig.memory.source_ranges.size(), 0U);
}

TEST_F(RestoreTest, IdsOutliveTheAgent) {
  uint32_t service = rig.ServiceId(kVip);
  auto backends = rig.BackendIds(kVip);
  rig.Restart();
  // Another service comes first, and would take the first free ids.
  rig.Apply({PortOf("a/first").ClusterIp("172.30.0.9", 80).On(Backends(3)), Dns(), Guarded(),
             Cart().On({"10.180.1.11:8080", "10.180.2.11:8080", "10.180.4.11:8080"})});
  EXPECT_EQ(rig.ServiceId(kVip), service);
  EXPECT_THAT(rig.BackendIds(kVip), testing::IsSupersetOf(backends));
}

TEST_F(RestoreTest, SourceRangesThatChangedMeanwhileReplaceTheOldSet) {
  rig.Restart();
  rig.Apply({Dns(), Cart(), Guarded().Ranges({"203.0.113.128/25"})});
  ASSERT_TRUE(rig.writer->Prune());
  rig.Settle();
  EXPECT_THAT(rig.Entry(LoadBalancerAt("198.51.100.4", 80)), HasSubstr("only from 203.0.113.128/25,"));
  EXPECT_EQ(rig.memory.source_ranges.size(), 1U);
}

TEST_F(RestoreTest, AServiceRemovedAndMadeAgainJustBeforeTheCrashGoesOn) {
  rig.grace = ManualGrace(false);
  rig.Apply({Gone(Cart())});
  rig.Apply({Cart()});  // the old row is still there, waiting for its grace period
  ASSERT_EQ(rig.memory.services.size(), 4U);
  auto before = rig.Entries();
  EXPECT_THAT(rig.Restart(), IsEmpty());
  EXPECT_EQ(rig.Entries(), before);
  rig.Apply({Dns(), Cart(), Guarded()});
  ASSERT_TRUE(rig.writer->ApplyNode(Node()));
  ASSERT_TRUE(rig.writer->Prune());
  rig.Settle();
  EXPECT_EQ(rig.Entries(), before);
  EXPECT_EQ(rig.memory.services.size(), 3U) << "one row a service";
}

TEST_F(RestoreTest, ARowWithoutRunsIsTakenUpOrPruned) {
  service row = EncodeService(PortOf("shop/late").Get().key);
  ASSERT_TRUE(rig.memory.services.Update(50, row));
  EXPECT_THAT(rig.Restart(), IsEmpty());
  rig.Apply({PortOf("shop/late").ClusterIp("172.30.0.20", 80).On({"10.180.1.11:80"})});
  EXPECT_EQ(rig.ServiceId(ClusterIpAt("172.30.0.20", 80)), 50U);
}

// --- tables that somebody else wrote into: said, and healed

struct DamagedTest : RestoreTest {
  frontend_slot& SlotOf(const plan::Frontend& frontend) {
    auto key = FrontendKey(frontend, plan::Protocol::kTcp, SCOPE_CLUSTER);
    for (auto& slot : rig.memory.frontends) {
      if (slot.value.flags != 0 && SameKey(KeyOf(slot), key)) return slot;
    }
    ADD_FAILURE() << "no such frontend";
    return rig.memory.frontends[0];
  }
  run& HeadOf(const plan::Frontend& frontend) {
    return rig.memory.backends[SlotOf(frontend).value.offset].run;
  }

  // One finding; after the plan is applied again all is as it was.
  void ExpectHealed(std::string_view finding) {
    EXPECT_THAT(rig.Restart(), ElementsAre(HasSubstr(std::string(finding))));
    rig.Apply({Dns(), Cart(), Guarded()});
    ASSERT_TRUE(rig.writer->ApplyNode(Node()));
    ASSERT_TRUE(rig.writer->Prune());
    rig.Settle();
    EXPECT_EQ(test::Dump(rig.tables()), sound_);
  }
  std::string sound_ = test::Dump(rig.tables());
};

TEST_F(DamagedTest, AnOffsetOutsideTheTable) {
  SlotOf(kVip).value.offset = 1U << 30;
  ExpectHealed("outside the table");
}

TEST_F(DamagedTest, AnOffsetThatIsNoRun) {
  SlotOf(kVip).value.offset += 1;
  ExpectHealed("is no run");
}

TEST_F(DamagedTest, ACountThatTheRunDoesNotHave) {
  SlotOf(kVip).value.count = 1;
  ExpectHealed("is no run of the expected length");
}

TEST_F(DamagedTest, ARunThatReachesOutOfTheTable) {
  HeadOf(kVip).length = 0xffffffff;
  ExpectHealed("is no run of the expected length");
}

TEST_F(DamagedTest, ARunOfAServiceNobodyKnows) {
  HeadOf(kVip).service_id = 60;
  ExpectHealed("service id 60 has no row");
}

TEST_F(DamagedTest, ABackendIdOutsideTheTable) {
  rig.memory.backends[SlotOf(kVip).value.offset + 1].backend.id = 0x7fffffff;
  ExpectHealed("backend id");
}

TEST_F(DamagedTest, ABackendIdThatAnotherBackendHas) {
  auto& slot = SlotOf(kVip);
  rig.memory.backends[slot.value.offset + 2].backend.id =
      rig.memory.backends[slot.value.offset + 1].backend.id;
  ExpectHealed("backend id");
}

// --- tables that are replaced by others

TEST(InheritIds, NewTablesNameServicesAndBackendsAsTheOldOnes) {
  Rig old;
  old.Apply({PortOf("a/gone").ClusterIp("172.30.0.9", 80).On(Backends(5)), Cart()});
  Capacities larger = test::SmallCapacities();
  larger.backends *= 2;
  larger.services *= 2;
  Rig rig(larger);
  ASSERT_TRUE(rig.writer->InheritIds(old.tables()));
  EXPECT_THAT(rig.Entries(), IsEmpty());
  rig.Apply({PortOf("a/new").ClusterIp("172.30.0.8", 80).On(Backends(3, 100)), Cart()});
  EXPECT_EQ(rig.ServiceId(kVip), old.ServiceId(kVip));
  EXPECT_EQ(rig.BackendIds(kVip), old.BackendIds(kVip));
  ASSERT_TRUE(rig.writer->Prune());
  rig.Settle();
  EXPECT_EQ(rig.memory.services.size(), 2U);
  EXPECT_EQ(rig.writer->Usages()[2].used, 5U) << "ids of backends that are gone come back";
}

TEST(InheritIds, SmallerTablesTakeTheIdsThatFit) {
  Rig old;
  for (int i = 1; i <= 20; ++i) {
    old.Apply(
        {PortOf(fmt::format("shop/s{:02}", i)).ClusterIp(fmt::format("172.30.0.{}", i), 80).On(Backends(2))});
  }
  Capacities smaller = test::SmallCapacities();
  smaller.services = 10;
  Rig rig(smaller);
  ASSERT_TRUE(rig.writer->InheritIds(old.tables()));
  rig.Apply({PortOf("shop/s05").ClusterIp("172.30.0.5", 80).On(Backends(2))});
  EXPECT_EQ(rig.ServiceId(ClusterIpAt("172.30.0.5", 80)), old.ServiceId(ClusterIpAt("172.30.0.5", 80)));
}

}  // namespace
}  // namespace fairlead::ebpf
