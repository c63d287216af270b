// SPDX-License-Identifier: Apache-2.0
// Clocks and order statistics of the benches. All times in ns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <random>
#include <vector>

namespace fairlead::bench {

inline int64_t ClockNs(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
inline int64_t WallNs() {
  return ClockNs(CLOCK_MONOTONIC);
}
// What this thread used of a CPU: softirqs that run on its back included (as long as the kernel has no
// CONFIG_IRQ_TIME_ACCOUNTING), other programs' turns not.
inline int64_t CpuNs() {
  return ClockNs(CLOCK_THREAD_CPUTIME_ID);
}

// The same choices in every run (std::minstd_rand, in 32 bits).
using Random = std::linear_congruential_engine<uint32_t, 48271, 0, 2147483647>;

// The value below which `share` of the values lie; 0 for none. Reorders.
template <typename T>
T Quantile(std::vector<T>& values, double share) {
  if (values.empty()) return T{};
  auto rank = std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  auto at = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace fairlead::bench
