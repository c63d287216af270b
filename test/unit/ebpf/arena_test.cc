// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/arena.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace fairlead::ebpf {
namespace {

TEST(Arena, TakesTheSmallestStretchThatFits) {
  Arena arena(100);
  ASSERT_EQ(arena.Take(10), 0U);
  ASSERT_EQ(arena.Take(5), 10U);
  ASSERT_EQ(arena.Take(10), 15U);
  ASSERT_EQ(arena.Take(3), 25U);
  ASSERT_EQ(arena.Take(1), 28U);
  arena.Give(0, 10);
  arena.Give(25, 3);  // between taken ones: 3 free
  EXPECT_EQ(arena.Take(3), 25U);
  EXPECT_EQ(arena.Take(4), 0U);
}

TEST(Arena, MergesWhatIsGivenBackWithBothNeighbours) {
  Arena arena(30);
  for (uint32_t start : {0U, 10U, 20U}) ASSERT_EQ(arena.Take(10), start);
  arena.Give(0, 10);
  arena.Give(20, 10);
  EXPECT_EQ(arena.Take(11), std::nullopt);
  arena.Give(10, 10);
  EXPECT_EQ(arena.Take(30), 0U);
}

TEST(Arena, NeitherNothingNorMoreThanThereIsCanBeTaken) {
  Arena arena(8);
  EXPECT_EQ(arena.Take(0), std::nullopt);
  EXPECT_EQ(arena.Take(9), std::nullopt);
  EXPECT_EQ(arena.Take(8), 0U);
  EXPECT_EQ(arena.Take(1), std::nullopt);
  EXPECT_EQ(arena.used(), arena.capacity());
}

TEST(Arena, ClaimsOnlyWhatIsFreeAndInside) {
  Arena arena(20);
  EXPECT_TRUE(arena.Claim(5, 5));
  EXPECT_FALSE(arena.Claim(4, 2));
  EXPECT_FALSE(arena.Claim(9, 1));
  EXPECT_FALSE(arena.Claim(19, 2));
  EXPECT_FALSE(arena.Claim(20, 1));
  EXPECT_FALSE(arena.Claim(0xfffffff0U, 0x20));
  EXPECT_FALSE(arena.Claim(0, 0));
  EXPECT_TRUE(arena.Claim(10, 10));
  EXPECT_EQ(arena.used(), 15U);
  EXPECT_EQ(arena.Take(5), 0U);
}

// Against one bool an element.
TEST(Arena, AgreesWithANaiveModel) {
  constexpr uint32_t kCapacity = 200;
  std::minstd_rand random(7);
  Arena arena(kCapacity);
  std::vector<bool> taken(kCapacity);
  std::vector<std::pair<uint32_t, uint32_t>> held;
  auto best_fit = [&](uint32_t length) {
    std::optional<uint32_t> best;
    uint32_t best_length = kCapacity + 1;
    for (uint32_t i = 0; i < kCapacity;) {
      uint32_t end = i;
      while (end < kCapacity && !taken[end]) ++end;
      if (end - i >= length && end - i < best_length) {
        best = i;
        best_length = end - i;
      }
      i = end + 1;
    }
    return best;
  };
  auto mark = [&](uint32_t start, uint32_t length, bool value) {
    for (uint32_t i = start; i < start + length; ++i) taken[i] = value;
  };
  for (int step = 0; step < 20000; ++step) {
    uint32_t length = 1 + static_cast<uint32_t>(random() % 12);
    if (random() % 2 == 0) {
      auto expected = best_fit(length);
      ASSERT_EQ(arena.Take(length), expected) << "step " << step;
      if (expected) {
        mark(*expected, length, true);
        held.emplace_back(*expected, length);
      }
    } else if (random() % 4 == 0) {
      auto start = static_cast<uint32_t>(random() % (kCapacity + 5));
      bool free = start + length <= kCapacity;
      for (uint32_t i = start; free && i < start + length; ++i) free = !taken[i];
      ASSERT_EQ(arena.Claim(start, length), free) << "step " << step;
      if (free) {
        mark(start, length, true);
        held.emplace_back(start, length);
      }
    } else if (!held.empty()) {
      size_t which = random() % held.size();
      auto [start, given] = held[which];
      held.erase(held.begin() + static_cast<ptrdiff_t>(which));
      arena.Give(start, given);
      mark(start, given, false);
    }
    ASSERT_EQ(arena.used(), static_cast<uint32_t>(std::count(taken.begin(), taken.end(), true)));
  }
}

}  // namespace
}  // namespace fairlead::ebpf
