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

  // A UDP service changed: look soon.
  void Expect() { expected_ = true; }

  // Makes a pass if one is due: after Expect, while sockets are left that could not be closed, and every half
  // minute. True if another is due soon.
  bool Poll(std::chrono::steady_clock::time_point now);

  uint64_t closed() const { return closed_; }
  uint64_t failed() const { return failed_; }

 private:
  // Sockets still standing after the pass, or an error.
  Result<size_t> Pass();

  const Kernel& kernel_;
  std::vector<std::string> netns_dirs_;
  bool expected_ = false;
  std::chrono::steady_clock::time_point next_{};
  uint64_t closed_ = 0;
  uint64_t failed_ = 0;
  std::string last_error_;  // said once while it lasts
};

}  // namespace fairlead::ebpf
