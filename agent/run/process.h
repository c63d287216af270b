// SPDX-License-Identifier: Apache-2.0
// This process as the kernel sees it, from /proc.
#pragma once

#include <cstdint>

#include "agent/base/error.h"

namespace fairlead::run {

struct ProcessUse {
  double cpu_seconds = 0;   // user and system
  double start_time_s = 0;  // Unix
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;  // soft limit
};

// kUnavailable if /proc is not there or not as expected.
Result<ProcessUse> ReadProcessUse();

// How gladly the kernel kills this process when memory runs out, -1000 to 1000. Less than before needs
// CAP_SYS_RESOURCE.
Result<void> SetOomScore(int score);

// As many descriptors as the system lets this process have, not as few as shells like: a Service with a
// health check node port takes one an address.
void RaiseFileLimit();

}  // namespace fairlead::run
