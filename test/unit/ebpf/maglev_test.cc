// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/maglev.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

namespace fairlead::ebpf {
namespace {

std::vector<MaglevBackend> Pool(size_t count, uint64_t first = 1) {
  std::vector<MaglevBackend> pool;
  for (size_t i = 0; i < count; ++i) pool.push_back({(first + i) * 0x9e3779b97f4a7c15ULL, 1});
  return pool;
}

// Slots by identity, so that tables of different pools compare.
std::vector<uint64_t> Named(const std::vector<MaglevBackend>& pool, uint32_t size) {
  std::vector<uint64_t> names;
  for (uint16_t slot : MaglevTable(pool, size)) names.push_back(pool.at(slot).identity);
  return names;
}

std::vector<uint32_t> Shares(const std::vector<MaglevBackend>& pool, uint32_t size) {
  std::vector<uint32_t> shares(pool.size());
  for (uint16_t slot : MaglevTable(pool, size)) ++shares.at(slot);
  return shares;
}

bool IsPrime(uint32_t n) {
  for (uint32_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return n > 1;
}

TEST(MaglevSize, IsAPrimeWithAHundredSlotsABackend) {
  for (size_t backends : {1UL, 2UL, 3UL, 10UL, 100UL, 655UL, 5000UL, 10000UL}) {
    uint32_t size = MaglevSize(backends);
    EXPECT_GE(size, backends * 100) << backends;
    EXPECT_TRUE(IsPrime(size)) << size;
  }
  EXPECT_GT(MaglevSize(65535), 65535U * 10) << "the largest there is still has a share for everybody";
}

TEST(MaglevTable, OneBackendHasEverySlot) {
  for (uint16_t slot : MaglevTable(Pool(1), 251)) ASSERT_EQ(slot, 0);
}

TEST(MaglevTable, EverySlotNamesABackendAndSharesAreEven) {
  for (size_t n : {2UL, 3UL, 7UL, 50UL, 300UL}) {
    uint32_t size = MaglevSize(n);
    auto shares = Shares(Pool(n), size);
    EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), 0U), size);
    auto [least, most] = std::minmax_element(shares.begin(), shares.end());
    EXPECT_LE(*most - *least, 1U) << n << " backends take turns: shares differ by one slot at most";
  }
}

TEST(MaglevTable, WeightsAreSharesOfTheSlots) {
  auto pool = Pool(3);
  pool[0].weight = 1;
  pool[1].weight = 2;
  pool[2].weight = 5;
  uint32_t size = MaglevSize(100);
  auto shares = Shares(pool, size);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(shares[i], size * pool[i].weight / 8.0, 2.0) << i;
}

TEST(MaglevTable, TheTotalOfExtremeWeightsIsStillTheWholeTable) {
  auto pool = Pool(2);
  pool[0].weight = 1000;
  auto shares = Shares(pool, 20011);
  EXPECT_EQ(shares[0] + shares[1], 20011U);
  EXPECT_NEAR(shares[1], 20011 / 1001.0, 1.0);
}

TEST(MaglevTable, IsTheSameEachTime) {
  EXPECT_EQ(Named(Pool(20), 2039), Named(Pool(20), 2039));
}

// Slots of other backends that change hands although theirs stand. The paper (section 5.3) accepts some, for
// tables of 100 slots a backend a few per cent; perfect stability would be consistent hashing, with uneven
// shares.
TEST(MaglevTable, OneBackendThatLeavesOrJoinsMovesLittleMoreThanItsShare) {
  for (size_t n : {10UL, 50UL, 200UL}) {
    uint32_t size = MaglevSize(n);
    auto all = Pool(n);
    auto before = Named(all, size);
    size_t worst = 0;
    for (size_t gone = 0; gone < n; gone += n / 10) {
      auto rest = all;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(gone));
      auto after = Named(rest, size);
      size_t needless = 0;
      for (uint32_t s = 0; s < size; ++s) {
        needless += before[s] != all[gone].identity && before[s] != after[s];
      }
      worst = std::max(worst, needless);
    }
    EXPECT_LE(worst, size * 3 / 100) << n << " backends, " << size << " slots";
  }
}

}  // namespace
}  // namespace fairlead::ebpf
