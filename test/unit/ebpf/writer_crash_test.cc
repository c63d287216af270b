// SPDX-License-Identifier: Apache-2.0
// The agent dies between any two stores of a history of changes. What clients see then is the old or the new
// answer of each address, and the next run ends where a run without a crash ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::Addr;
using test::Backends;
using test::PortOf;
using test::Range;
using test::Rig;
using testing::IsEmpty;
using Entries = std::map<std::string, std::string>;

struct Crash {};

// One Apply, or a change of the node, and then what the syncer does when it is idle.
struct Step {
  std::vector<plan::Change> changes;
  plan::NodePlan node;
};

plan::NodePlan NodeWith(std::vector<std::string_view> addresses, std::vector<std::string_view> cidrs) {
  plan::NodePlan node;
  for (auto address : addresses) node.nodeport_addresses.push_back(Addr(address));
  for (auto cidr : cidrs) node.service_cidrs.push_back(Range(cidr));
  return node;
}

PortOf Cart() {
  return PortOf("shop/cart").ClusterIp("172.30.0.10", 80);
}
PortOf Web() {
  return PortOf("shop/web").ClusterIp("172.30.0.11", 80).NodePort(30001).LoadBalancer("198.51.100.4", 80);
}
PortOf Dns() {
  return PortOf("kube-system/dns:dns").Udp().ClusterIp("172.30.0.53", 53);
}

const std::vector<Step>& History() {
  static const auto* history = [] {
    auto node = NodeWith({"192.168.99.11"}, {"172.30.0.0/16"});
    auto moved = NodeWith({"192.168.99.12", "192.168.99.13"}, {"172.30.0.0/16", "10.96.0.0/12"});
    auto* steps = new std::vector<Step>{
        {{Cart().On({"10.180.1.11:8080"})}, node},
        {{Cart().On({"10.180.1.11:8080", "10.180.2.11:8080"}),
          Dns().On({"10.180.1.12:53", "10.180.2.12:53"})},
         node},
        {{Web().On(Backends(4))}, node},
        // Policies and source ranges, at once.
        {{Web().On(Backends(4)).LocalOn({"10.200.0.1:8080"}).ExternalLocal().Ranges({"203.0.113.0/24"})},
         node},
        {{Web()
              .On(Backends(4))
              .LocalOn({"10.200.0.1:8080"})
              .ExternalLocal()
              .Affinity(30)
              .Ranges({"198.18.0.0/15", "203.0.113.128/25"})},
         node},
        {{Web().On(Backends(5, 2)).Maglev(),
          Dns().On({"10.180.1.12:53"}).Draining({"10.180.2.12:53 terminating"})},
         moved},
        // Addresses change hands, in both directions of the name order.
        {{Cart().On({"10.180.1.11:8080"}).LoadBalancer("198.51.100.4", 80),
          PortOf("shop/web").ClusterIp("172.30.0.11", 80).NodePort(30001).On(Backends(5, 2)).Maglev()},
         moved},
        {{PortOf("shop/cart").ClusterIp("172.30.0.12", 80).On({"10.180.1.11:8080"}),
          PortOf("shop/web").ClusterIp("172.30.0.10", 80).On(Backends(2)).Maglev()},
         moved},
        // A service goes and comes back; another loses its endpoints.
        {{Gone(Web()), Dns()}, moved},
        {{Web().On(Backends(3)).LocalOn({}).InternalLocal(), Gone(Cart())}, node},
        {{Cart().On({"10.180.3.11:8080 weight=3", "10.180.3.12:8080"})}, node},
    };
    return steps;
  }();
  return *history;
}

// The plan after the first `count` steps, as one step.
Step PlanAfter(size_t count) {
  std::map<plan::ServicePortKey, plan::Change> plan;
  Step whole;
  for (size_t i = 0; i < count; ++i) {
    for (const plan::Change& change : History()[i].changes) {
      if (change.now) {
        plan[change.key] = change;
      } else {
        plan.erase(change.key);
      }
    }
    whole.node = History()[i].node;
  }
  for (auto& [key, change] : plan) whole.changes.push_back(change);
  return whole;
}

void Play(Rig& rig, const Step& step) {
  rig.Apply(step.changes);
  ASSERT_TRUE(rig.writer->ApplyNode(step.node));
  rig.Settle();
}

std::string At(const Entries& entries, const std::string& key) {
  auto it = entries.find(key);
  return it == entries.end() ? "-" : it->second;
}

struct CrashTest : testing::Test {
  static void SetUpTestSuite() {
    after_ = new std::vector<Entries>;
    Rig rig;
    after_->push_back(rig.Entries());
    for (const Step& step : History()) {
      Play(rig, step);
      after_->push_back(rig.Entries());
    }
    dump_ = new std::string(test::Dump(rig.tables()));
    usage_ = new std::string(rig.Usage());
  }

  // Plays the history on `rig` until `stores` more have been made; which step it died in, or none.
  static std::optional<size_t> PlayUntilCrash(Rig& rig, uint64_t stores) {
    rig.OnStep([&stores] {
      if (stores-- == 0) throw Crash();
    });
    for (size_t i = 0; i < History().size(); ++i) {
      try {
        Play(rig, History()[i]);
      } catch (const Crash&) {
        rig.OnStep(nullptr);
        return i;
      }
    }
    rig.OnStep(nullptr);
    return std::nullopt;
  }

  // Every address answers as before the step or as after it. While an address moves, what an earlier owner
  // left behind for it counts as the old answer.
  static void ExpectOldOrNew(Rig& rig, size_t step) {
    const Entries& before = (*after_)[step];
    const Entries& after = (*after_)[step + 1];
    Entries now = rig.Entries();
    std::set<std::string> keys;
    for (const auto* entries : {&before, &after, &std::as_const(now)}) {
      for (const auto& [key, text] : *entries) keys.insert(key);
    }
    for (const std::string& key : keys) {
      std::string text = At(now, key);
      bool address = key.starts_with("address ") && text != "-";  // roles come and go one by one
      EXPECT_TRUE(text == At(before, key) || text == At(after, key) || address)
          << key << " -> " << text << "\nbefore: " << At(before, key) << "\nafter: " << At(after, key);
    }
  }

  static std::vector<Entries>* after_;
  static std::string* dump_;
  static std::string* usage_;
};
std::vector<Entries>* CrashTest::after_ = nullptr;
std::string* CrashTest::dump_ = nullptr;
std::string* CrashTest::usage_ = nullptr;

TEST_F(CrashTest, TheHistoryIsSoundWithoutACrash) {
  for (const Entries& entries : *after_) {
    for (const auto& [key, text] : entries)
      EXPECT_THAT(text, testing::Not(testing::HasSubstr("BROKEN"))) << key;
  }
  // Step by step or at once is the same.
  Rig rig;
  Play(rig, PlanAfter(History().size()));
  EXPECT_EQ(test::Dump(rig.tables()), *dump_);
}

TEST_F(CrashTest, AfterEveryStoreClientsSeeOldOrNewAndTheNextRunFinishes) {
  uint64_t stores = 0;
  for (;; ++stores) {
    SCOPED_TRACE(fmt::format("died after {} stores", stores));
    Rig rig;
    auto died = PlayUntilCrash(rig, stores);
    if (!died) break;
    ExpectOldOrNew(rig, *died);

    Entries before = rig.Entries();
    ASSERT_THAT(rig.Restart(), IsEmpty());
    EXPECT_EQ(rig.Entries(), before) << "taking over changes nothing that clients see";
    Play(rig, PlanAfter(History().size()));
    ASSERT_TRUE(rig.writer->Prune());
    rig.Settle();
    ASSERT_EQ(test::Dump(rig.tables()), *dump_);
    ASSERT_EQ(rig.Usage(), *usage_) << "something leaks";
    ASSERT_EQ(rig.memory.services.size(), 3U);
    ASSERT_EQ(rig.memory.source_ranges.size(), 0U);
    if (HasFailure()) return;
  }
  EXPECT_GT(stores, 150U) << "the history is too short to prove much";
}

TEST_F(CrashTest, ARunThatDiesWhileItFinishesAnothersWorkIsFinishedToo) {
  for (uint64_t stores = 0; stores < 1000; stores += 7) {
    for (uint64_t more = 0;; more += 3) {
      SCOPED_TRACE(fmt::format("died after {} stores, and again after {}", stores, more));
      Rig rig;
      if (!PlayUntilCrash(rig, stores)) return;
      ASSERT_THAT(rig.Restart(), IsEmpty());
      uint64_t left = more;
      bool died = false;
      rig.OnStep([&] {
        if (left-- == 0) throw Crash();
      });
      try {
        Play(rig, PlanAfter(History().size()));
        ASSERT_TRUE(rig.writer->Prune());
        rig.Settle();
      } catch (const Crash&) {
        died = true;
      }
      rig.OnStep(nullptr);
      if (!died) break;
      for (const auto& [key, text] : rig.Entries())
        ASSERT_THAT(text, testing::Not(testing::HasSubstr("BROKEN"))) << key;
      ASSERT_THAT(rig.Restart(), IsEmpty());
      Play(rig, PlanAfter(History().size()));
      ASSERT_TRUE(rig.writer->Prune());
      rig.Settle();
      ASSERT_EQ(test::Dump(rig.tables()), *dump_);
      ASSERT_EQ(rig.Usage(), *usage_);
    }
  }
}

}  // namespace
}  // namespace fairlead::ebpf
