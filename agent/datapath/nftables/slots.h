// SPDX-License-Identifier: Apache-2.0
// Which backend stands at which number. A rule draws a number below the count, so numbers have no holes; and
// a backend keeps its number while it can, so that a change writes what changed and not the whole list.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::nftables {

struct Target {
  Address address;
  uint16_t port = 0;

  friend auto operator<=>(const Target&, const Target&) = default;
};

using Slots = std::vector<Target>;
std::set<Target> TargetsOf(const Slots& slots);

// Each backend as often as its weight says, over the greatest common divisor. Where that is more than fits,
// weights are scaled down, none to nothing.
std::vector<Target> Weighted(const std::vector<plan::Backend>& list);

// `wanted`, in any order, put where `before` has it. What is new takes the place of what is gone; what is
// left over at the end moves into the holes.
Slots Place(const Slots& before, std::vector<Target> wanted);

}  // namespace fairlead::nftables
