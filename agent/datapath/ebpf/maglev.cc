// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/maglev.h"

#include <algorithm>
#include <array>

namespace fairlead::ebpf {

namespace {

// Primes just under the powers of two, so that a ring fills its elements.
constexpr std::array<uint32_t, 13> kLadder = {251,   509,   1021,   2039,   4093,   8191,   16381,
                                              32749, 65521, 131071, 262139, 524287, 1048573};

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

uint32_t MaglevSize(size_t backends) {
  for (uint32_t size : kLadder) {
    if (size >= backends * 100) return size;
  }
  return kLadder.back();
}

std::vector<uint16_t> MaglevTable(std::span<const MaglevBackend> backends, uint32_t size) {
  constexpr uint16_t kEmpty = 0xffff;
  std::vector<uint16_t> slots(size, kEmpty);
  if (backends.empty()) return slots;

  struct Walk {
    uint32_t next;  // where the backend's permutation stands
    uint32_t skip;
    uint32_t credit = 0;  // weighted turns: a backend takes a slot when its credit reaches the largest weight
  };
  std::vector<Walk> walks;
  walks.reserve(backends.size());
  uint32_t largest = 1;
  for (const MaglevBackend& backend : backends) {
    walks.push_back({static_cast<uint32_t>(Mix(backend.identity) % size),
                     static_cast<uint32_t>(Mix(backend.identity ^ 0x5851f42d4c957f2dULL) % (size - 1) + 1)});
    largest = std::max<uint32_t>(largest, backend.weight);
  }

  for (uint32_t filled = 0;;) {
    for (size_t i = 0; i < backends.size(); ++i) {
      Walk& walk = walks[i];
      walk.credit += backends[i].weight;
      if (walk.credit < largest) continue;
      walk.credit -= largest;
      while (slots[walk.next] != kEmpty) walk.next = (walk.next + walk.skip) % size;
      slots[walk.next] = static_cast<uint16_t>(i);
      if (++filled == size) return slots;
    }
  }
}

}  // namespace fairlead::ebpf
