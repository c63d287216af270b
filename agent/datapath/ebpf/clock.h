// SPDX-License-Identifier: Apache-2.0
// The time as the programs keep it: jiffies, and ticks of 2^shift jiffies (struct fairlead_config).
//
// Jiffies are asked of the kernel, by a program that does nothing else: they start at an arbitrary number and
// lose ticks where the monotonic clock loses none, so that an offset measured once would grow stale, and a
// collector that is ahead of the programs takes live flows for old ones.
#pragma once

#include <cstdint>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::ebpf {

class Clock {
 public:
  // Loads the program; attaches nothing.
  static Result<Clock> Open();

  // The kernel's HZ: 100, 250, 300 or 1000 on most builds.
  uint32_t jiffies_per_s() const { return jiffies_per_s_; }
  // What bpf_jiffies64() gives at this moment.
  Result<uint64_t> Jiffies() const;
  // Jiffies() >> shift, in the 32 bits of flow.last_seen: it wraps, so differences count and not the order.
  Result<uint32_t> NowTick(uint32_t shift) const;

 private:
  Clock(Fd program, uint32_t jiffies_per_s) : program_(std::move(program)), jiffies_per_s_(jiffies_per_s) {}

  Fd program_;
  uint32_t jiffies_per_s_;
};

}  // namespace fairlead::ebpf
