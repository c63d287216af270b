// SPDX-License-Identifier: Apache-2.0
// Closes connected UDP sockets whose backend is gone, wherever on the node they are. Level-triggered: each
// pass looks at all translated sockets, so that a missed change heals with the next pass.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/datapath/ebpf/kernel.h"

namespace fairlead::ebpf {

class Sweeper {
 public:
  Sweeper(const Kernel& kernel, std::vector<std::string> netns_dirs)
      : kernel_(kernel), netns_dirs_(std::move(netns_dirs)) {}

  // A UDP service changed: look at once, and once more a moment later, for connects that were under way.
  void Expect() { expected_ = true; }

  // Makes a pass if one is due: after Expect, but not more often than every 150 ms; while sockets are left
  // that could not be closed, ever more rarely; and every half minute. When the next is due.
  std::chrono::steady_clock::time_point Poll(std::chrono::steady_clock::time_point now);

  uint64_t closed() const { return closed_; }
  uint64_t failed() const { return failed_; }

 private:
  // Sockets still standing after the pass, or an error.
  Result<size_t> Pass();

  const Kernel& kernel_;
  std::vector<std::string> netns_dirs_;
  bool expected_ = false;
  bool again_ = false;  // the pass after the first one
  std::chrono::steady_clock::time_point next_{};
  std::chrono::steady_clock::time_point last_{};
  std::chrono::milliseconds retry_{};
  uint64_t closed_ = 0;
  uint64_t failed_ = 0;
  std::string last_error_;  // said once while it lasts
};

}  // namespace fairlead::ebpf
