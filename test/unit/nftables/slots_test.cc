// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "test/support/service_port.h"

namespace fairlead::nftables {
namespace {

using test::BackendOf;
using testing::ElementsAre;

// "abc": backends 10.0.0.'a' and so on.
Slots Of(std::string_view letters) {
  Slots slots;
  for (char c : letters) slots.push_back({BackendOf(fmt::format("10.0.0.{}:80", int{c})).address, 80});
  return slots;
}
std::string Text(const Slots& slots) {
  std::string text;
  for (const Target& target : slots) text += static_cast<char>(target.address.raw.bytes[15]);
  return text;
}

TEST(SlotsTest, ABackendKeepsItsPlaceAndTheLastFillsAHole) {
  EXPECT_EQ(Text(Place(Of("abcd"), Of("bdac"))), "abcd");
  EXPECT_EQ(Text(Place(Of("abcd"), Of("acd"))), "adc");
  EXPECT_EQ(Text(Place(Of("abcd"), Of("bc"))), "cb");
  EXPECT_EQ(Text(Place(Of("abcd"), Of("d"))), "d");
  EXPECT_EQ(Text(Place(Of("abcd"), {})), "");
}

TEST(SlotsTest, WhatIsNewTakesTheHolesFirst) {
  EXPECT_EQ(Text(Place(Of("abcd"), Of("axcd"))), "axcd");
  EXPECT_EQ(Text(Place(Of("abcd"), Of("axyzcd"))), "axcdyz");
  EXPECT_EQ(Text(Place({}, Of("cab"))), "abc");
}

TEST(SlotsTest, AWeightIsThatManyPlaces) {
  EXPECT_EQ(Text(Weighted({BackendOf("10.0.0.97:80 weight=4"), BackendOf("10.0.0.98:80 weight=2")})), "aab");
  EXPECT_EQ(Text(Place(Of("aab"), Of("ab"))), "ab");
  EXPECT_EQ(Text(Place(Of("ab"), Of("aab"))), "aba");
}

TEST(SlotsTest, HugeWeightsAreScaledDownToWhatFits) {
  std::vector<plan::Backend> list = {BackendOf("10.0.0.1:80 weight=65535"),
                                     BackendOf("10.0.0.2:80 weight=1")};
  const Slots slots = Weighted(list);
  EXPECT_LE(slots.size(), 4097U);
  EXPECT_EQ(std::ranges::count(slots, list[1].address, &Target::address), 1);
}

TEST(SlotsTest, AnyChangeKeepsWhatItCanAndHasNoHoles) {
  std::mt19937 random(1);
  Slots slots;
  for (int step = 0; step < 2000; ++step) {
    std::vector<Target> wanted;
    for (char c = 'a'; c < 'i'; ++c) {
      for (auto copies = random() % 3; copies > 0; --copies) wanted.push_back(Of(std::string(1, c))[0]);
    }
    const Slots placed = Place(slots, wanted);
    std::vector<Target> sorted = placed;
    std::ranges::sort(sorted);
    std::ranges::sort(wanted);
    ASSERT_EQ(sorted, wanted);
    // At most as many places differ as backends came or went, or moved from the end into a hole.
    std::vector<Target> before = slots, gone, come;
    std::ranges::sort(before);
    std::ranges::set_difference(before, wanted, std::back_inserter(gone));
    std::ranges::set_difference(wanted, before, std::back_inserter(come));
    size_t differ = 0;
    for (size_t i = 0; i < std::min(slots.size(), placed.size()); ++i) differ += slots[i] != placed[i];
    ASSERT_LE(differ, gone.size()) << Text(slots) << " to " << Text(placed);
    slots = placed;
  }
}

}  // namespace
}  // namespace fairlead::nftables
