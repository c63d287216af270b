// SPDX-License-Identifier: Apache-2.0
// Full tables: a clear error for the service that does not fit, no harm to those that stand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::Backends;
using test::PortOf;
using test::Rig;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PortOf Nth(uint32_t n) {
  return PortOf(fmt::format("shop/s{}", n)).ClusterIp(fmt::format("172.30.{}.{}", n / 256, n % 256), 80);
}

struct FullTest : testing::Test {
  // Adds services made by `make` until one is refused; the message. What stood must stand as it did.
  std::string Fill(Rig& rig, const std::function<PortOf(uint32_t)>& make) {
    for (uint32_t n = 1; n < 1000; ++n) {
      auto before = rig.Entries();
      auto failures = rig.writer->Apply(std::vector<plan::Change>{make(n)});
      rig.Settle();
      if (failures.empty()) {
        added = n;
        continue;
      }
      EXPECT_EQ(failures.size(), 1U);
      EXPECT_EQ(failures[0].error.kind, ErrorKind::kExhausted);
      EXPECT_EQ(failures[0].change.key, make(n).Get().key);
      EXPECT_EQ(rig.Entries(), before);
      std::string usage = rig.Usage();
      EXPECT_EQ(rig.Try({make(n)}).size(), 1U);
      rig.Settle();
      EXPECT_EQ(rig.Usage(), usage) << "a refused service must not eat room";
      return failures[0].error.message;
    }
    return "never full";
  }
  Capacities capacities = test::SmallCapacities();
  uint32_t added = 0;
};

TEST_F(FullTest, Frontends) {
  capacities.frontends = 16;
  Rig rig(capacities);
  EXPECT_THAT(Fill(rig, [](uint32_t n) { return Nth(n).On({"10.180.1.11:80"}); }),
              AllOf(HasSubstr("shop/s"), HasSubstr("frontends"), HasSubstr("capacities.frontends")));
  EXPECT_EQ(added, 7U) << "each takes an entry for its port and one for its address; two are kept";
  rig.Apply({Gone(Nth(1))});
  rig.Settle();
  rig.Apply({Nth(added + 1)});
}

TEST_F(FullTest, AnAddressTheNodeGetsLaterFindsRoomAmongServicesThatFillTheTable) {
  capacities.frontends = 16;
  Rig rig(capacities);
  Fill(rig, [](uint32_t n) { return Nth(n); });
  plan::NodePlan node;
  node.nodeport_addresses = {test::Addr("192.168.99.11"), test::Addr("192.168.98.11")};
  auto applied = rig.writer->ApplyNode(node);
  EXPECT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(rig.Entries().at("address 192.168.98.11"), "node");
}

TEST_F(FullTest, Services) {
  capacities.services = 5;
  Rig rig(capacities);
  EXPECT_THAT(Fill(rig, [](uint32_t n) { return Nth(n); }),
              AllOf(HasSubstr("services"), HasSubstr("shop/s")));
  EXPECT_EQ(added, 5U);
}

TEST_F(FullTest, BackendsKeepRoomForChangesThatDoNotGrow) {
  capacities.backends = 64;
  Rig rig(capacities);
  auto make = [](uint32_t n) { return Nth(n).On(Backends(9)); };
  EXPECT_THAT(Fill(rig, make), AllOf(HasSubstr("backends"), HasSubstr("capacities.backends")));
  EXPECT_EQ(added, 6U);
  rig.Apply({Nth(1).On(Backends(2))});
  rig.Settle();
  rig.Apply({Nth(2).On(Backends(1, 5))});
}

TEST_F(FullTest, AFullArenaCanStillLoseEndpoints) {
  capacities.backends = 160;  // the reserve is 10
  Rig rig(capacities);
  for (uint32_t n = 1; n <= 16; ++n) {
    auto failures = rig.Try({Nth(n).On(Backends(9))});
    if (!failures.empty()) {
      EXPECT_EQ(n, 16U);
      break;
    }
  }
  rig.Settle();
  for (uint32_t n = 1; n <= 15; ++n) {
    rig.Apply({Nth(n).On(Backends(8))});
    rig.Settle();
  }
}

TEST_F(FullTest, Rings) {
  capacities.ring_slots = 1024;
  Rig rig(capacities);
  EXPECT_THAT(Fill(rig, [](uint32_t n) { return Nth(n).On(Backends(2)).Maglev(); }),
              AllOf(HasSubstr("rings"), HasSubstr("capacities.ringSlots"), HasSubstr("shop/s")));
  EXPECT_EQ(added, 4U);
}

TEST_F(FullTest, SourceRanges) {
  capacities.source_ranges = 5;
  Rig rig(capacities);
  EXPECT_THAT(Fill(rig,
                   [](uint32_t n) {
                     return Nth(n)
                         .LoadBalancer(fmt::format("198.51.100.{}", n), 80)
                         .Ranges({"203.0.113.0/24", "198.18.0.0/15"});
                   }),
              AllOf(HasSubstr("source_ranges"), HasSubstr("capacities.sourceRanges"), HasSubstr("shop/s")));
  EXPECT_EQ(added, 2U);
  EXPECT_EQ(rig.memory.source_ranges.size(), 4U) << "the half that fitted is taken back";
}

TEST_F(FullTest, OneThatDoesNotFitDoesNotStopTheOthersOfItsBatch) {
  capacities.backends = 64;
  Rig rig(capacities);
  EXPECT_THAT(rig.Try({Nth(1).On(Backends(3)), Nth(2).On(Backends(100)), Nth(3).On(Backends(3))}),
              ElementsAre(HasSubstr("shop/s2:http/TCP IPv4")));
  EXPECT_EQ(rig.Entries().size(), 4U);
}

TEST_F(FullTest, AServiceThatCannotGrowStaysAsItWas) {
  capacities.backends = 64;
  Rig rig(capacities);
  rig.Apply({Nth(1).On(Backends(3))});
  auto before = rig.Entries();
  EXPECT_EQ(rig.Try({Nth(1).On(Backends(100)).NodePort(30001)}).size(), 1U);
  EXPECT_EQ(rig.Entries(), before);
  ASSERT_TRUE(rig.writer->Prune());
  EXPECT_EQ(rig.Entries(), before);
}

TEST_F(FullTest, ARestartWithARefusedChangeKeepsWhatStood) {
  capacities.backends = 64;
  Rig rig(capacities);
  rig.Apply({Nth(1).On(Backends(3))});
  rig.Settle();
  auto before = rig.Entries();
  EXPECT_THAT(rig.Restart(), IsEmpty());
  EXPECT_EQ(rig.Try({Nth(1).On(Backends(100))}).size(), 1U);
  ASSERT_TRUE(rig.writer->Prune());
  rig.Settle();
  EXPECT_EQ(rig.Entries(), before) << "the plan knows the service: what stood before stands";
}

TEST_F(FullTest, UsageIsCountedAgainstCapacity) {
  Rig rig(capacities);
  rig.Apply({Nth(1).On(Backends(3)).Maglev()});
  for (const auto& usage : rig.writer->Usages()) {
    EXPECT_LE(usage.used, usage.capacity) << usage.table;
    EXPECT_GT(usage.capacity, 0U) << usage.table;
    EXPECT_EQ(usage.used > 0, usage.table != "source_ranges") << usage.table;
  }
}

}  // namespace
}  // namespace fairlead::ebpf
