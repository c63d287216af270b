// SPDX-License-Identifier: Apache-2.0
// Reuse of what programs may still be reading: only after an RCU grace period.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace fairlead::ebpf {

// Waits for a grace period without blocking the caller.
class Grace {
 public:
  virtual ~Grace() = default;
  virtual void Start() = 0;  // only when none is under way
  virtual bool Done() = 0;   // of the one started last
};

// Collects what was retired; frees a whole batch per grace period. One thread.
class Reclaimer {
 public:
  explicit Reclaimer(Grace& grace) : grace_(grace) {}

  // `free` runs, on the thread that polls, when no program can see the thing any more.
  void Retire(std::function<void()> free) { waiting_.push_back(std::move(free)); }

  // True while something waits.
  bool Poll() {
    if (!in_grace_.empty() && grace_.Done()) {
      auto batch = std::exchange(in_grace_, {});
      for (auto& free : batch) free();
    }
    if (in_grace_.empty() && !waiting_.empty()) {
      in_grace_ = std::exchange(waiting_, {});
      grace_.Start();
    }
    return !in_grace_.empty();
  }

 private:
  Grace& grace_;
  std::vector<std::function<void()>> waiting_;
  std::vector<std::function<void()>> in_grace_;
};

}  // namespace fairlead::ebpf
