// SPDX-License-Identifier: Apache-2.0
// Which flow entries the collector frees, and above all which it leaves.
#include "agent/datapath/ebpf/collector.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "test/support/ebpf/flows.h"

namespace fairlead::ebpf {
namespace {

using test::FlowMaker;
using test::FlowOf;
using test::kFlowKeys;
using namespace std::chrono_literals;

constexpr uint32_t kStart = 1000;  // tick

fairlead_config Times() {
  fairlead_config config{};
  config.flow_timeout[FLOW_ESTABLISHED] = 1000;
  config.flow_timeout[FLOW_STREAM] = 120;
  config.flow_timeout[FLOW_HALF_CLOSED] = 300;
  config.flow_timeout[FLOW_UNREPLIED] = 30;
  config.flow_timeout[FLOW_SYN] = 60;
  config.flow_timeout[FLOW_CLOSED] = 10;
  return config;
}

struct World {
  explicit World(size_t set_count = 64) : sets(set_count) {}

  // One pass over the whole table at this tick; what it counted.
  FlowCounts Pass(uint32_t at) {
    tick = at;
    slices = 0;
    do {
      now += pause;
      pause = collector.Poll(now) - now;
      ++slices;
    } while (pause < 1s);
    return collector.Counts();
  }
  bool Has(const flow& entry) const { return table.Find(entry.key).has_value(); }
  bool HasBoth(const FlowOf& of) const { return Has(of.Forward()) && Has(of.Reply()); }
  bool HasNone(const FlowOf& of) const { return !Has(of.Forward()) && !Has(of.Reply()); }
  flow& At(const flow& entry) {
    auto found = table.Find(entry.key).value();
    return sets[found.place.set].entry[found.place.way];
  }

  test::FlowMemory sets;
  FlowTable table{sets, kFlowKeys};
  FlowMaker maker{sets, kFlowKeys};
  uint32_t tick = kStart;
  Collector::TimePoint now{};
  std::chrono::steady_clock::duration pause{};
  int slices = 0;
  Collector collector{table, Times(), [this]() -> Result<uint32_t> { return tick; }};
};

FlowOf Web() {
  return FlowOf("203.0.113.2:40000", "198.51.100.4:80").LastSeen(kStart);
}

TEST(CollectorTest, AFlowGoesWithBothHalvesWhenItsTimeIsOver) {
  World world;
  world.maker.Make(Web());
  world.Pass(kStart + 1000);
  EXPECT_TRUE(world.HasBoth(Web()));
  FlowCounts counts = world.Pass(kStart + 1001);
  EXPECT_TRUE(world.HasNone(Web()));
  EXPECT_EQ(counts.collected, 2u);
}

TEST(CollectorTest, EachStateHasItsTime) {
  struct {
    flow_state state;
    uint32_t timeout;
  } rows[] = {
      {FLOW_STREAM, 120}, {FLOW_HALF_CLOSED, 300}, {FLOW_UNREPLIED, 30}, {FLOW_SYN, 60}, {FLOW_CLOSED, 10}};
  for (const auto& row : rows) {
    World world;
    FlowOf one = Web().State(row.state);
    world.maker.Make(one);
    world.Pass(kStart + row.timeout);
    EXPECT_TRUE(world.HasBoth(one)) << row.state;
    world.Pass(kStart + row.timeout + 1);
    EXPECT_TRUE(world.HasNone(one)) << row.state;
  }
}

TEST(CollectorTest, AFlowLivesWhileEitherHalfDoes) {
  for (bool reply : {false, true}) {
    World world;
    world.maker.Make(Web());
    world.At(reply ? Web().Reply() : Web().Forward()).last_seen = kStart + 900;
    world.Pass(kStart + 1500);
    EXPECT_TRUE(world.HasBoth(Web()));
    world.Pass(kStart + 1901);
    EXPECT_TRUE(world.HasNone(Web()));
  }
}

TEST(CollectorTest, AFlowToABackendOnAnotherNodeIsLeftAsLong) {
  World world;
  FlowOf remote = Web().To("10.180.2.11:8080").SeenAs("192.168.99.11:40000");
  flow forward = remote.Forward(), reply = remote.Reply();
  forward.flags &= static_cast<__u8>(~FLOW_LOCAL);
  reply.flags &= static_cast<__u8>(~FLOW_LOCAL);
  ASSERT_TRUE(world.maker.Make(forward) && world.maker.Make(reply));
  world.Pass(kStart + 1000);
  EXPECT_TRUE(world.HasBoth(remote));
}

TEST(CollectorTest, AHalfWithoutItsOtherGoesByItsOwnTime) {
  World world;
  ASSERT_TRUE(world.maker.Make(Web().Forward()));
  world.Pass(kStart + 1000);
  EXPECT_TRUE(world.Has(Web().Forward()));
  world.Pass(kStart + 1001);
  EXPECT_FALSE(world.Has(Web().Forward()));
}

TEST(CollectorTest, TheHalfThatAChangeOfBackendLeftBehindIsNotKeptByTheFlow) {
  World world;
  FlowOf now = Web().Udp().LastSeen(kStart + 500);
  FlowOf before = Web().Udp().To("10.180.1.12:8080");
  world.maker.Make(now);
  ASSERT_TRUE(world.maker.Make(before.Reply()));
  world.Pass(kStart + 501);
  EXPECT_TRUE(world.HasBoth(now));
  EXPECT_FALSE(world.Has(before.Reply()));
}

TEST(CollectorTest, AnEntryYoungerThanTheAskedTickIsNotOld) {
  World world;
  world.maker.Make(Web().LastSeen(kStart + 2));
  EXPECT_EQ(world.Pass(kStart).collected, 0u);
  EXPECT_TRUE(world.HasBoth(Web()));
}

TEST(CollectorTest, TicksMayWrap) {
  World world;
  world.maker.Make(Web().LastSeen(0xfffffff0));
  world.Pass(5);
  EXPECT_TRUE(world.HasBoth(Web()));
  world.Pass(1000);
  EXPECT_TRUE(world.HasNone(Web()));
}

TEST(CollectorTest, EntriesAreCountedByState) {
  World world;
  world.maker.Make(Web());
  world.maker.Make(FlowOf("203.0.113.2:40001", "198.51.100.4:80").State(FLOW_SYN).LastSeen(kStart));
  world.maker.Make(FlowOf("203.0.113.2:40002", "198.51.100.4:53").Udp().LastSeen(kStart));
  FlowCounts counts = world.Pass(kStart);
  EXPECT_EQ(counts.entries[FLOW_ESTABLISHED], 2u);
  EXPECT_EQ(counts.entries[FLOW_SYN], 2u);
  EXPECT_EQ(counts.entries[FLOW_STREAM], 2u);
  EXPECT_EQ(counts.used(), 6u);
  EXPECT_EQ(counts.capacity, world.sets.size() * FLOW_WAYS);
}

TEST(CollectorTest, AnEntryWhoseWriterDiedIsCountedAndLeft) {
  World world;
  world.maker.Make(Web());
  flow& dead = world.At(Web().Forward());
  dead.sequence += 1;
  EXPECT_EQ(world.Pass(kStart + 5000).stuck, 0u) << "it may just be under way";
  EXPECT_EQ(world.Pass(kStart + 5001).stuck, 1u);
  EXPECT_EQ(world.Pass(kStart + 5002).stuck, 1u);
  EXPECT_EQ(dead.sequence % 2, 1u);
  dead.sequence += 2;
  EXPECT_EQ(world.Pass(kStart + 5003).stuck, 0u) << "another writer";
}

TEST(CollectorTest, WithoutTheTimeNothingIsFreed) {
  World world;
  world.maker.Make(Web());
  Collector blind(world.table, Times(),
                  []() -> Result<uint32_t> { return Fail(ErrorKind::kUnavailable, "no clock"); });
  EXPECT_GT(blind.Poll(world.now), world.now + 1s);
  EXPECT_TRUE(world.HasBoth(Web()));
}

TEST(CollectorTest, APassGoesInSlicesAndFinishes) {
  World world(4 * Collector::kSliceSets);
  world.maker.Make(Web());
  world.Pass(kStart + 1001);
  EXPECT_EQ(world.slices, 4);
  EXPECT_TRUE(world.HasNone(Web()));
}

TEST(CollectorTest, TheFullerTheTableTheSoonerTheNextPass) {
  World world(2);
  world.Pass(kStart);
  EXPECT_EQ(world.pause, 30s);
  int port = 1024;
  auto fill = [&](uint64_t until) {
    while (world.Pass(kStart).used() < until) {
      (void)world.maker.Make(
          FlowOf("203.0.113.2:" + std::to_string(++port), "198.51.100.4:80").LastSeen(kStart).Forward());
    }
  };
  fill(8);
  EXPECT_EQ(world.pause, 10s);
  fill(12);
  EXPECT_EQ(world.pause, 3s);
}

TEST(CollectorTest, AFlowThatIsUsedAllTheTimeIsNeverFreed) {
  World world(2);
  std::atomic<uint32_t> tick = kStart;
  FlowOf busy = Web().State(FLOW_CLOSED);
  world.maker.Make(busy);
  auto place = world.table.Find(busy.Forward().key).value().place;
  std::atomic<bool> stop = false;
  std::thread packets([&] {
    while (!stop) {
      uint32_t seen = tick;
      FlowMaker::Touch(world.sets[place.set], place.way, seen);
      tick = seen + 1;  // no more than one without a packet
    }
  });
  Collector collector(world.table, Times(), [&]() -> Result<uint32_t> { return tick.load(); });
  Collector::TimePoint now{};
  for (int pass = 0; pass < 20000; ++pass) now = collector.Poll(now);
  stop = true;
  packets.join();
  EXPECT_TRUE(world.HasBoth(busy));
  EXPECT_EQ(collector.Counts().collected, 0u);
}

}  // namespace
}  // namespace fairlead::ebpf
