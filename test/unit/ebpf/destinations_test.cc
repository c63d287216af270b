// SPDX-License-Identifier: Apache-2.0
// The agent's side of the filter in front of the packet path, alone and against programs that add bits while
// it makes them anew.
#include "agent/datapath/ebpf/destinations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "agent/datapath/ebpf/collector.h"
#include "agent/datapath/ebpf/memory_tables.h"
#include "test/support/ebpf/flows.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::Addr;
using test::FlowMaker;
using test::FlowOf;
using test::kFlowKeys;

struct Bits {
  std::vector<destination_word> words = std::vector<destination_word>(DESTINATION_WORDS);
  Destinations destinations{words, kFlowKeys};
  Store store;

  void Add(const std::string& address) { destinations.Add(Addr(address).raw, store); }
  void Keep(const std::string& address) { destinations.Keep(Addr(address).raw); }
  bool Has(const std::string& address) const { return destinations.Has(Addr(address).raw); }
};

TEST(DestinationsTest, AnAddressThatWasAddedIsThereAndOthersAreNot) {
  Bits bits;
  bits.Add("198.51.100.4");
  bits.Add("fd00:172:30::10");
  EXPECT_TRUE(bits.Has("198.51.100.4"));
  EXPECT_TRUE(bits.Has("fd00:172:30::10"));
  EXPECT_FALSE(bits.Has("198.51.100.5"));
  EXPECT_FALSE(bits.Has("fd00:172:30::11"));
}

TEST(DestinationsTest, AddressesOfOneNetworkHaveBitsOfTheirOwn) {
  Bits bits;
  for (int i = 0; i < 256; ++i) bits.Add("10.96.7." + std::to_string(i));
  EXPECT_GE(bits.destinations.bits(), 250U);
}

TEST(DestinationsTest, WhatIsNotKeptGoesOnlyWhenAllIsReplaced) {
  Bits bits;
  bits.Add("198.51.100.4");
  bits.Add("198.51.100.5");
  bits.destinations.Clear();
  bits.Keep("198.51.100.5");
  EXPECT_EQ(bits.destinations.bits(), 2U);
  bits.destinations.Replace();
  EXPECT_FALSE(bits.Has("198.51.100.4"));
  EXPECT_TRUE(bits.Has("198.51.100.5"));
}

TEST(DestinationsTest, WhatIsAddedMeanwhileStays) {
  Bits bits;
  bits.Add("198.51.100.4");
  bits.destinations.Clear();
  bits.Add("198.51.100.4");
  bits.Add("198.51.100.6");
  bits.destinations.Replace();
  EXPECT_TRUE(bits.Has("198.51.100.4"));
  EXPECT_TRUE(bits.Has("198.51.100.6"));
}

TEST(DestinationsTest, NoBitIsLostToAReplacementWhileAnotherCpuSetsThem) {
  Bits bits;
  std::atomic<bool> stop = false;
  std::atomic<int> added = 0;
  std::thread programs([&] {
    Store store;
    for (int i = 0; i < 60000 && !stop; ++i) {
      bits.destinations.Add(Addr(fmt::format("10.{}.{}.{}", i / 65536, i / 256 % 256, i % 256)).raw, store);
      added = i + 1;
    }
  });
  int lost = 0;
  for (int pass = 0; pass < 30; ++pass) {
    bits.destinations.Clear();
    const int before = added;  // no grace period: what was added by now is there
    for (int i = 0; i < before; ++i) bits.Keep(fmt::format("10.{}.{}.{}", i / 65536, i / 256 % 256, i % 256));
    bits.Keep(fmt::format("10.{}.{}.{}", before / 65536, before / 256 % 256, before % 256));
    bits.destinations.Replace();
    for (int i = 0; i < added; i += 97)
      lost += !bits.Has(fmt::format("10.{}.{}.{}", i / 65536, i / 256 % 256, i % 256));
  }
  stop = true;
  programs.join();
  EXPECT_EQ(lost, 0);
}

// Bits that are stale when a pass begins: of the pass before, and not kept.
TEST(DestinationsTest, ABitThatIsSetAgainDuringAReplacementIsThereAtOnceAndAfterwards) {
  constexpr int kPasses = 3000, kAddresses = 256;
  Bits bits;
  std::vector<ip_addr> addresses;
  for (int i = 0; i < kAddresses; ++i) addresses.push_back(Addr(fmt::format("203.0.{}.7", i)).raw);
  std::atomic<int> cleared = 0, replaced = 0, checked = 0;
  int missing_at_once = 0, missing_afterwards = 0;
  std::thread programs([&] {
    Store store;
    for (int pass = 1; pass <= kPasses; ++pass) {
      while (cleared < pass) {  // a thread that yields comes when all is replaced
      }
      for (const ip_addr& address : addresses) {
        bits.destinations.Add(address, store);
        missing_at_once += !bits.destinations.Has(address);
      }
      while (replaced < pass) std::this_thread::yield();
      for (const ip_addr& address : addresses) missing_afterwards += !bits.destinations.Has(address);
      checked = pass;
    }
  });
  for (int pass = 1; pass <= kPasses; ++pass) {
    bits.destinations.Clear();
    cleared = pass;
    bits.destinations.Replace();
    replaced = pass;
    while (checked < pass) std::this_thread::yield();
  }
  programs.join();
  EXPECT_EQ(missing_at_once, 0);
  EXPECT_EQ(missing_afterwards, 0);
}

TEST(DestinationsTest, ABitThatOnlyTheSecondCopyHasOutlivesTheNextClearing) {
  Bits bits;
  bits.Add("198.51.100.4");
  for (destination_word& word : bits.words) word.live = 0;  // as an addition that a replacement overtook
  EXPECT_TRUE(bits.Has("198.51.100.4"));
  bits.destinations.Clear();
  EXPECT_TRUE(bits.Has("198.51.100.4"));
  bits.Keep("198.51.100.4");
  bits.destinations.Replace();
  EXPECT_TRUE(bits.Has("198.51.100.4"));
}

TEST(DestinationsTest, EveryAddressOfTheTablesHasItsBitBeforeAndAfterARestart) {
  test::Rig rig;
  rig.Apply({test::PortOf("shop/cart")
                 .ClusterIp("172.30.0.10", 80)
                 .LoadBalancer("198.51.100.4", 80)
                 .On({"10.180.1.11:8080"})});
  auto has = [&](const std::string& address) {
    return Destinations(rig.tables().destinations, rig.tables().flow_keys).Has(Addr(address).raw);
  };
  EXPECT_TRUE(has("172.30.0.10"));
  EXPECT_TRUE(has("198.51.100.4"));
  EXPECT_FALSE(has("10.180.1.11"));
  std::fill(rig.memory.destinations.begin(), rig.memory.destinations.end(), destination_word{});
  rig.Restart();
  EXPECT_TRUE(has("172.30.0.10"));
}

// --- the collector makes them anew

struct Collected {
  explicit Collected(bool grace_at_once = true) : grace(grace_at_once) {
    config.flow_timeout[FLOW_ESTABLISHED] = 1000;
  }
  void Poll() {
    reclaimer.Poll();
    next = collector.Poll(next);
  }

  Bits bits;
  test::FlowMemory sets{64};
  FlowMaker maker{sets, kFlowKeys};
  fairlead_config config{};
  ManualGrace grace;
  Reclaimer reclaimer{grace};
  Collector::TimePoint next{};
  Collector collector{FlowTable(sets, kFlowKeys), config, []() -> Result<uint32_t> { return 10; },
                      Collector::Refresh{bits.destinations, reclaimer, [](Destinations& destinations) {
                                           destinations.Keep(Addr("198.51.100.9").raw);
                                         }}};
};

TEST(DestinationsTest, APassKeepsTheBitsOfRolesAndOfBothHalvesOfEachFlow) {
  Collected world;
  for (const char* address : {"198.51.100.4", "203.0.113.2", "198.51.100.9", "198.51.100.77"})
    world.bits.Add(address);
  world.maker.Make(FlowOf("203.0.113.2:40000", "198.51.100.4:80").LastSeen(10));
  for (int i = 0; i < 4; ++i) world.Poll();
  EXPECT_TRUE(world.bits.Has("198.51.100.4"));
  EXPECT_TRUE(world.bits.Has("203.0.113.2")) << "of the answers";
  EXPECT_TRUE(world.bits.Has("198.51.100.9")) << "of a role";
  EXPECT_FALSE(world.bits.Has("198.51.100.77"));
}

TEST(DestinationsTest, APassWaitsForProgramsThatSetBitsBeforeTheyWereCleared) {
  Collected world(false);
  world.bits.Add("198.51.100.77");
  for (int i = 0; i < 5; ++i) world.Poll();
  EXPECT_EQ(world.bits.destinations.bits(), 1U);
  world.maker.Make(FlowOf("203.0.113.2:40000", "198.51.100.77:80").LastSeen(10));  // by such a program
  world.grace.Finish();
  for (int i = 0; i < 5; ++i) world.Poll();
  EXPECT_TRUE(world.bits.Has("198.51.100.77"));
}

}  // namespace
}  // namespace fairlead::ebpf
