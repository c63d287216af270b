// SPDX-License-Identifier: Apache-2.0
// The open-addressed table, as a reader sees it at every moment.
#include "agent/datapath/ebpf/frontend_table.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/datapath/ebpf/memory_tables.h"
#include "test/support/ebpf/reader.h"

namespace fairlead::ebpf {
namespace {

constexpr uint64_t kSeed = 42;

frontend_key Key(uint32_t n) {
  frontend_key key{};
  key.addr.words[2] = IP_ADDR_V4_PREFIX;
  key.addr.words[3] = n;
  key.port = 80;
  key.proto = 6;
  key.scope = SCOPE_CLUSTER;
  return key;
}

frontend Value(uint32_t offset) {
  return {offset, 1, 0, FRONTEND_LIVE};
}

struct FrontendTableTest : testing::Test {
  explicit FrontendTableTest(size_t slots = 64) : slots_(slots) { Start(); }

  // A new agent run over the same memory.
  void Start() {
    table_.reset();
    reclaimer_ = std::make_unique<Reclaimer>(grace_);
    table_ = std::make_unique<FrontendTable>(slots_, kSeed, store_, *reclaimer_);
  }
  void Grace() {
    while (reclaimer_->Poll()) grace_.Finish();
  }
  std::optional<uint32_t> Read(const frontend_key& key) const {
    Tables tables;
    tables.hash_seed = kSeed;
    tables.frontends = std::span<frontend_slot>(const_cast<frontend_slot*>(slots_.data()), slots_.size());
    auto found = test::Reader(tables).Find(key);
    return found ? std::optional(found->offset) : std::nullopt;
  }
  uint32_t Home(const frontend_key& key) const {
    return frontend_hash(&key, kSeed) & static_cast<uint32_t>(slots_.size() - 1);
  }
  // `count` keys whose probe begins at slot `home`.
  std::vector<frontend_key> KeysAt(uint32_t home, size_t count) const {
    std::vector<frontend_key> keys;
    for (uint32_t n = 1; keys.size() < count; ++n) {
      if (Home(Key(n)) == home) keys.push_back(Key(n));
    }
    return keys;
  }
  size_t EmptySlots() const {
    return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(),
                                             [](const frontend_slot& slot) { return slot.scope == 0; }));
  }

  std::vector<frontend_slot> slots_;
  ManualGrace grace_{false};
  Store store_;
  std::unique_ptr<Reclaimer> reclaimer_;
  std::unique_ptr<FrontendTable> table_;
};

TEST_F(FrontendTableTest, WhatIsSetIsFoundAndWhatIsKilledIsNot) {
  ASSERT_TRUE(table_->Set(Key(1), 7, Value(100)));
  EXPECT_EQ(Read(Key(1)), 100U);
  EXPECT_EQ(Read(Key(2)), std::nullopt);
  ASSERT_TRUE(table_->Set(Key(1), 7, Value(200)));
  EXPECT_EQ(Read(Key(1)), 200U);
  table_->Kill(Key(1));
  EXPECT_EQ(Read(Key(1)), std::nullopt);
  table_->Kill(Key(1));
  EXPECT_EQ(table_->live(), 0U);
}

TEST_F(FrontendTableTest, SettingTheSameAgainStoresNothing) {
  ASSERT_TRUE(table_->Set(Key(1), 7, Value(100)));
  uint64_t before = store_.bytes();
  ASSERT_TRUE(table_->Set(Key(1), 7, Value(100)));
  EXPECT_EQ(store_.bytes(), before);
}

TEST_F(FrontendTableTest, AKeyPastATombstoneIsFound) {
  auto keys = KeysAt(5, 3);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(table_->Set(keys[i], 1, Value(i + 1)));
  table_->Kill(keys[0]);
  table_->Kill(keys[1]);
  EXPECT_EQ(Read(keys[2]), 3U);
  Grace();
  EXPECT_EQ(Read(keys[2]), 3U);
}

TEST_F(FrontendTableTest, ADeadSlotIsNotGivenToAnotherKeyBeforeTheGracePeriod) {
  auto keys = KeysAt(5, 3);
  ASSERT_TRUE(table_->Set(keys[0], 1, Value(1)));
  ASSERT_TRUE(table_->Set(keys[1], 1, Value(2)));
  table_->Kill(keys[0]);
  ASSERT_TRUE(table_->Set(keys[2], 1, Value(3)));
  EXPECT_TRUE(SameKey(KeyOf(slots_[5]), keys[0])) << "a reader of the old word would see another key";
  table_->Kill(keys[2]);
  Grace();
  ASSERT_TRUE(table_->Set(keys[2], 1, Value(4)));
  EXPECT_TRUE(SameKey(KeyOf(slots_[5]), keys[2]));
  EXPECT_EQ(Read(keys[2]), 4U);
  EXPECT_EQ(Read(keys[1]), 2U);
}

TEST_F(FrontendTableTest, ADeadKeyIsRevivedInItsOwnSlot) {
  ASSERT_TRUE(table_->Set(Key(1), 1, Value(1)));
  table_->Kill(Key(1));
  ASSERT_TRUE(table_->Set(Key(1), 1, Value(2)));
  EXPECT_EQ(Read(Key(1)), 2U);
  Grace();
  EXPECT_EQ(Read(Key(1)), 2U) << "the grace period of its death must not take the living";
  EXPECT_EQ(EmptySlots(), slots_.size() - 1);
}

TEST_F(FrontendTableTest, ASlotThatDiedTwiceWaitsForTheReadersOfBothLives) {
  auto keys = KeysAt(5, 2);
  ASSERT_TRUE(table_->Set(keys[0], 1, Value(1)));
  table_->Kill(keys[0]);
  reclaimer_->Poll();  // the first death's grace period runs
  ASSERT_TRUE(table_->Set(keys[0], 1, Value(2)));
  table_->Kill(keys[0]);
  grace_.Finish();
  reclaimer_->Poll();  // the first one is over
  ASSERT_TRUE(table_->Set(keys[1], 1, Value(3)));
  EXPECT_TRUE(SameKey(KeyOf(slots_[5]), keys[0]));
  EXPECT_EQ(Read(keys[1]), 3U);
}

TEST_F(FrontendTableTest, TombstonesBeforeAnEmptySlotAreEmptiedBackwards) {
  auto keys = KeysAt(62, 5);  // around the end of the array
  for (uint32_t i = 0; i < 5; ++i) ASSERT_TRUE(table_->Set(keys[i], 1, Value(i + 1)));
  for (uint32_t i = 0; i < 4; ++i) table_->Kill(keys[i]);
  Grace();
  EXPECT_EQ(EmptySlots(), slots_.size() - 5) << "the last one still needs the way to it";
  table_->Kill(keys[4]);
  Grace();
  EXPECT_EQ(EmptySlots(), slots_.size());
}

TEST_F(FrontendTableTest, FullIsSaidAndHarmsNobody) {
  for (uint32_t n = 1; n <= table_->capacity(); ++n) ASSERT_TRUE(table_->Set(Key(n), 1, Value(n)));
  auto set = table_->Set(Key(1000), 1, Value(1));
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().kind, ErrorKind::kExhausted);
  EXPECT_THAT(set.error().message, testing::StartsWith("frontends: "));
  EXPECT_TRUE(table_->Set(Key(1), 1, Value(99)));
  EXPECT_EQ(Read(Key(1)), 99U);
  table_->Kill(Key(2));
  EXPECT_TRUE(table_->Set(Key(1000), 1, Value(1000)));
  EXPECT_EQ(Read(Key(1000)), 1000U);
  EXPECT_FALSE(table_->Set(Key(2), 1, Value(2))) << "a dead key counts too when it comes back";
}

struct CrowdedTableTest : FrontendTableTest {
  CrowdedTableTest() : FrontendTableTest(256) {}
};

TEST_F(CrowdedTableTest, AKeyWithoutAFreeSlotInReachIsRefused) {
  auto keys = KeysAt(10, FRONTEND_PROBES + 1);
  for (uint32_t i = 0; i < FRONTEND_PROBES; ++i) ASSERT_TRUE(table_->Set(keys[i], 1, Value(i + 1)));
  auto set = table_->Set(keys.back(), 1, Value(1));
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().kind, ErrorKind::kExhausted);
  EXPECT_EQ(Read(keys[FRONTEND_PROBES - 1]), FRONTEND_PROBES);
  table_->Kill(keys[3]);
  Grace();
  EXPECT_TRUE(table_->Set(keys.back(), 1, Value(77)));
  EXPECT_EQ(Read(keys.back()), 77U);
}

TEST_F(FrontendTableTest, ANewRunFindsWhatStandsAndReusesWhatIsDead) {
  auto keys = KeysAt(5, 3);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(table_->Set(keys[i], 1, Value(i + 1)));
  table_->Kill(keys[0]);
  table_->Kill(keys[2]);
  Start();
  table_->Restore();
  EXPECT_EQ(table_->live(), 1U);
  EXPECT_EQ(EmptySlots(), slots_.size() - 2) << "the last tombstone is empty, the first is on the way";
  EXPECT_EQ(Read(keys[1]), 2U);
  ASSERT_TRUE(table_->Set(keys[2], 1, Value(9)));
  EXPECT_TRUE(SameKey(KeyOf(slots_[5]), keys[2]));
}

// After every single store each key reads as before the call or as after it, all others as they stand.
class FrontendTableRandomTest : public FrontendTableTest, public testing::WithParamInterface<unsigned> {};

TEST_P(FrontendTableRandomTest, AReaderSeesOldOrNewAfterEachStore) {
  constexpr uint32_t kKeys = 40;
  std::minstd_rand random(GetParam());
  std::map<uint32_t, uint32_t> model;
  std::optional<uint32_t> changing;  // key
  std::optional<uint32_t> from, to;
  bool stored = false;
  auto check = [&] {
    for (uint32_t n = 0; n < kKeys; ++n) {
      auto seen = Read(Key(n));
      if (n == changing) {
        ASSERT_TRUE(seen == from || seen == to) << "key " << n;
      } else {
        auto it = model.find(n);
        ASSERT_EQ(seen, it == model.end() ? std::nullopt : std::optional(it->second)) << "key " << n;
      }
    }
  };
  store_.on_store = [&] {
    stored = true;
    check();
  };
  auto model_of = [&](uint32_t n) {
    auto it = model.find(n);
    return it == model.end() ? std::nullopt : std::optional(it->second);
  };
  for (uint32_t step = 1; step < 3000 && !HasFatalFailure(); ++step) {
    auto n = static_cast<uint32_t>(random() % kKeys);
    from = model_of(n);
    changing = n;
    switch (random() % 8) {
      case 0:
      case 1:
      case 2: {
        to = step;
        bool fits = from || model.size() < table_->capacity();
        ASSERT_EQ(table_->Set(Key(n), 1, Value(step)).has_value(), fits);
        if (fits) model[n] = step;
        break;
      }
      case 3:
      case 4:
        to = std::nullopt;
        table_->Kill(Key(n));
        model.erase(n);
        break;
      case 5:
        changing.reset();
        reclaimer_->Poll();
        break;
      case 6:
        changing.reset();
        grace_.Finish();
        reclaimer_->Poll();
        break;
      default:
        if (step % 50 != 0) break;
        changing.reset();
        Start();
        table_->Restore();
    }
    changing.reset();
    check();
    ASSERT_EQ(table_->live(), model.size());
  }
  EXPECT_TRUE(stored);
  store_.on_store = nullptr;
  for (uint32_t n = 0; n < kKeys; ++n) table_->Kill(Key(n));
  Grace();
  EXPECT_EQ(EmptySlots(), slots_.size()) << "no tombstone stays behind";
}

INSTANTIATE_TEST_SUITE_P(Seeds, FrontendTableRandomTest, testing::Range(1U, 9U));

}  // namespace
}  // namespace fairlead::ebpf
