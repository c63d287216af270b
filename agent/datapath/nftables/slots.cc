// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/slots.h"

#include <algorithm>
#include <numeric>

namespace fairlead::nftables {

namespace {

// Numbers that weights may make of one list: 1 % steps over a few dozen backends.
constexpr size_t kWeightedMax = 4096;

}  // namespace

std::vector<Target> Weighted(const std::vector<plan::Backend>& list) {
  uint32_t divisor = 0;
  size_t sum = 0;
  for (const plan::Backend& backend : list) {
    divisor = std::gcd(divisor, uint32_t{backend.weight});
    sum += backend.weight;
  }
  divisor = std::max(divisor, 1U);
  sum /= divisor;
  std::vector<Target> targets;
  targets.reserve(std::max(list.size(), std::min(sum, kWeightedMax)));
  for (const plan::Backend& backend : list) {
    size_t copies = backend.weight / divisor;
    if (sum > kWeightedMax) copies = copies * kWeightedMax / sum;
    targets.insert(targets.end(), std::max<size_t>(copies, 1), {backend.address, backend.port});
  }
  return targets;
}

std::set<Target> TargetsOf(const Slots& slots) {
  return {slots.begin(), slots.end()};
}

Slots Place(const Slots& before, std::vector<Target> wanted) {
  std::ranges::sort(wanted);
  if (before.empty()) return wanted;
  Slots slots = before;
  std::vector<bool> taken(wanted.size());
  std::vector<size_t> holes;
  for (size_t at = 0; at < slots.size(); ++at) {
    auto [first, last] = std::ranges::equal_range(wanted, slots[at]);
    while (first != last && taken[static_cast<size_t>(first - wanted.begin())]) ++first;
    if (first == last) {
      holes.push_back(at);
    } else {
      taken[static_cast<size_t>(first - wanted.begin())] = true;
    }
  }
  size_t hole = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (taken[i]) continue;
    if (hole < holes.size()) {
      slots[holes[hole++]] = wanted[i];
    } else {
      slots.push_back(wanted[i]);
    }
  }
  // What is still a hole is filled from the end; holes at the end just go.
  while (hole < holes.size()) {
    if (holes.back() == slots.size() - 1) {
      holes.pop_back();
    } else {
      slots[holes[hole++]] = slots.back();
    }
    slots.pop_back();
  }
  return slots;
}

}  // namespace fairlead::nftables
