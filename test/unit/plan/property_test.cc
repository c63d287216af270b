// SPDX-License-Identifier: Apache-2.0
// What must hold for any sequence of events: the plan depends on the objects only, not on the way there.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include <gtest/gtest.h>

#include "test/support/world.h"

namespace fairlead::test {
namespace {

using Random = std::mt19937;

uint32_t Below(Random& random, uint32_t n) {
  return static_cast<uint32_t>(random() % n);
}
bool Chance(Random& random, uint32_t percent) {
  return Below(random, 100) < percent;
}

// Few names, addresses and ports, so that services collide in all of them.
kube::Object RandomService(Random& random) {
  Service service("ns" + std::to_string(Below(random, 2)) + "/s" + std::to_string(Below(random, 6)));
  if (Chance(random, 90)) service.ClusterIp("172.30.0." + std::to_string(1 + Below(random, 5)));
  if (Chance(random, 40)) service.ClusterIp("fd00:172:30::" + std::to_string(1 + Below(random, 5)));
  for (uint32_t ports = Below(random, 4); ports > 0; --ports) {
    service.Port("p" + std::to_string(Below(random, 3)), static_cast<uint16_t>(80 + Below(random, 2)));
    if (Chance(random, 30)) service.Udp();
    if (Chance(random, 40)) service.NodePort(static_cast<uint16_t>(30001 + Below(random, 3)));
  }
  if (Chance(random, 30)) service.ExternalIp("198.51.100." + std::to_string(1 + Below(random, 3)));
  if (Chance(random, 10)) service.ExternalIp("172.30.0." + std::to_string(1 + Below(random, 5)));
  if (Chance(random, 30)) service.LoadBalancerIp("198.51.100." + std::to_string(1 + Below(random, 3)));
  if (Chance(random, 20)) service.SourceRange("192.168.99.0/24");
  if (Chance(random, 10)) service.HealthCheckNodePort(32001);
  if (Chance(random, 10)) service.OtherProxy();
  if (Chance(random, 10)) service.Setting("weights", "10.180.1.11=3");
  return service.InternalLocal(Chance(random, 20))
      .ExternalLocal(Chance(random, 30))
      .CreatedAt(static_cast<int64_t>(Below(random, 3)));
}

kube::Object RandomSlice(Random& random) {
  Slice slice("ns" + std::to_string(Below(random, 2)) + "/s" + std::to_string(Below(random, 6)));
  slice.Named("slice" + std::to_string(Below(random, 12)));
  slice.Port("p" + std::to_string(Below(random, 3)), 8080);
  if (Chance(random, 30)) slice.Udp();
  bool ipv6 = Chance(random, 30);
  for (uint32_t endpoints = Below(random, 4); endpoints > 0; --endpoints) {
    uint32_t node = 1 + Below(random, 2);
    slice.Endpoint(
        (ipv6 ? "fd00:10:180:" + std::to_string(node) + "::" : "10.180." + std::to_string(node) + ".") +
        std::to_string(11 + Below(random, 3)));
    slice.On("n" + std::to_string(node)).Ready(Chance(random, 70)).Serving(Chance(random, 80));
    slice.Terminating(Chance(random, 30));
    if (Chance(random, 70)) slice.Zone(Chance(random, 50) ? "a" : "b");
  }
  if (Chance(random, 5)) slice.Headless();
  return slice;
}

kube::Update RandomEdit(Random& random) {
  kube::Object object = Chance(random, 50) ? RandomService(random) : RandomSlice(random);
  if (Chance(random, 25)) return Delete(kube::KindOf(object), kube::NameOf(object).ToString());
  return Upsert(std::move(object));
}

// A planner that sees these objects for the first time, in this order.
std::string PlanFromScratch(const std::vector<kube::Object>& objects) {
  World world;
  world.Apply(objects);
  return world.Print();
}

class Objects {
 public:
  void Apply(const kube::Update& update) {
    std::pair key(update.kind, update.name);
    if (update.type == kube::Update::Type::kDelete) {
      objects_.erase(key);
    } else {
      objects_.insert_or_assign(key, update.objects.front());
    }
  }
  std::vector<kube::Object> All() const {
    std::vector<kube::Object> all;
    for (const auto& [key, object] : objects_) all.push_back(object);
    return all;
  }

 private:
  std::map<std::pair<kube::Kind, kube::ObjectName>, kube::Object> objects_;
};

class SeedTest : public testing::TestWithParam<uint32_t> {};

TEST_P(SeedTest, PlanningStepByStepGivesWhatPlanningFromScratchGives) {
  Random random(GetParam());
  World world;
  Objects objects;
  std::map<plan::ServicePortKey, std::shared_ptr<const plan::ServicePort>> told;  // by the deltas alone
  for (int step = 0; step < 150; ++step) {
    for (uint32_t edits = 1 + Below(random, 3); edits > 0; --edits) {
      kube::Update update = RandomEdit(random);
      objects.Apply(update);
      world.cluster.Apply(std::move(update));
    }
    plan::Delta delta = world.PlanDirty();
    for (const plan::Change& change : delta.changes) {
      if (change.now) {
        told[change.key] = change.now;
      } else {
        ASSERT_EQ(told.erase(change.key), 1u) << "removed what was never there: " << change.key.ToString();
      }
    }
    ASSERT_EQ(world.Print(), PlanFromScratch(objects.All())) << "step " << step;
    ASSERT_EQ(told, world.planner.plan()) << "step " << step;
    ASSERT_TRUE(std::ranges::is_sorted(delta.changes, {}, &plan::Change::key));
  }
}

TEST_P(SeedTest, TheOrderOfEventsDoesNotMatter) {
  Random random(GetParam());
  Objects objects;
  for (int i = 0; i < 60; ++i) objects.Apply(RandomEdit(random));
  std::vector<kube::Object> all = objects.All();
  std::string expected = PlanFromScratch(all);
  for (int i = 0; i < 5; ++i) {
    std::shuffle(all.begin(), all.end(), random);
    World one_by_one;
    for (const kube::Object& object : all) one_by_one.Apply({object});
    ASSERT_EQ(one_by_one.Print(), expected);
  }
}

TEST_P(SeedTest, NoAddressAndPortIsServedTwiceAndNoBackendIsListedTwice) {
  Random random(GetParam());
  World world;
  for (int i = 0; i < 150; ++i) world.cluster.Apply(RandomEdit(random));
  world.PlanDirty();
  std::set<std::tuple<Address, uint16_t, Protocol>> served;
  for (const auto& [key, port] : world.planner.plan()) {
    for (const plan::Frontend& frontend : port->frontends) {
      EXPECT_TRUE(served.emplace(frontend.address, frontend.port, key.protocol).second)
          << AddressPort(frontend.address, frontend.port);
      EXPECT_EQ(frontend.address.GetFamily(), key.family);
    }
    for (const auto* list : {&port->cluster, &port->local, &port->draining}) {
      for (size_t i = 1; i < list->size(); ++i) {
        EXPECT_LT(std::tie((*list)[i - 1].address, (*list)[i - 1].port),
                  std::tie((*list)[i].address, (*list)[i].port));
      }
    }
    for (const plan::Backend& backend : port->local) EXPECT_TRUE(backend.local) << key.ToString();
  }
}

TEST_P(SeedTest, AFullReplanOfAPlannedClusterChangesAndSaysNothing) {
  Random random(GetParam());
  World world;
  for (int i = 0; i < 150; ++i) world.cluster.Apply(RandomEdit(random));
  world.PlanDirty();
  plan::Delta again = world.PlanAll();
  EXPECT_EQ(Text(again.changes), "");
  EXPECT_EQ(Text(again.problems), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, SeedTest, testing::Range(1u, 13u));

}  // namespace
}  // namespace fairlead::test
