// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/ids.h"

#include <deque>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace fairlead::ebpf {
namespace {

TEST(IdPool, NumbersFromOneUpToTheCapacity) {
  IdPool ids(4);
  EXPECT_EQ(ids.Take(), 1U);
  EXPECT_EQ(ids.Take(), 2U);
  EXPECT_EQ(ids.Take(), 3U);
  EXPECT_EQ(ids.Take(), std::nullopt);
  EXPECT_EQ(ids.used(), 3U);
  EXPECT_EQ(ids.capacity(), 3U);
}

TEST(IdPool, FreshNumbersComeBeforeUsedOnesAndTheLongestUnusedFirst) {
  IdPool ids(5);
  for (int i = 0; i < 3; ++i) ids.Take();
  ids.Give(2);
  ids.Give(1);
  EXPECT_EQ(ids.Take(), 4U);
  EXPECT_EQ(ids.Take(), 2U);
  EXPECT_EQ(ids.Take(), 1U);
  EXPECT_EQ(ids.Take(), std::nullopt);
}

TEST(IdPool, ClaimsOnlyFreeNumbersWithinBounds) {
  IdPool ids(4);
  EXPECT_FALSE(ids.Claim(0));
  EXPECT_FALSE(ids.Claim(4));
  EXPECT_TRUE(ids.Claim(2));
  EXPECT_FALSE(ids.Claim(2));
  EXPECT_EQ(ids.Take(), 1U);
  EXPECT_EQ(ids.Take(), 3U);
  EXPECT_EQ(ids.Take(), std::nullopt);
}

TEST(IdPool, AClaimedNumberIsNotGivenOutASecondTime) {
  IdPool ids(3);
  ids.Take();
  ids.Take();
  ids.Give(1);
  ids.Give(2);
  ASSERT_TRUE(ids.Claim(1));
  EXPECT_EQ(ids.Take(), 2U);
  EXPECT_EQ(ids.Take(), std::nullopt);
}

TEST(IdPool, AnEmptyPoolHasNothing) {
  IdPool ids(0);
  EXPECT_EQ(ids.Take(), std::nullopt);
  EXPECT_EQ(ids.capacity(), 0U);
}

TEST(IdPool, NeverHandsOutANumberInUseAndNeverLosesOne) {
  constexpr uint32_t kCapacity = 40;
  std::minstd_rand random(11);
  IdPool ids(kCapacity + 1);
  std::set<uint32_t> taken;
  for (int step = 0; step < 20000; ++step) {
    switch (random() % 5) {
      case 0:
      case 1: {
        auto id = ids.Take();
        ASSERT_EQ(id.has_value(), taken.size() < kCapacity) << "step " << step;
        if (id) {
          ASSERT_TRUE(*id >= 1 && *id <= kCapacity && taken.insert(*id).second) << "step " << step;
        }
        break;
      }
      case 2: {
        auto id = static_cast<uint32_t>(random() % (kCapacity + 3));
        bool free = id >= 1 && id <= kCapacity && !taken.contains(id);
        ASSERT_EQ(ids.Claim(id), free) << "step " << step;
        if (free) taken.insert(id);
        break;
      }
      default:
        if (taken.empty()) break;
        auto it = std::next(taken.begin(), static_cast<ptrdiff_t>(random() % taken.size()));
        ids.Give(*it);
        taken.erase(it);
    }
    ASSERT_EQ(ids.used(), taken.size());
  }
}

}  // namespace
}  // namespace fairlead::ebpf
