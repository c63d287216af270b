// SPDX-License-Identifier: Apache-2.0
// How long to wait before the next try: doubles from `min` to `max`, less up to half of it by chance, so that
// the nodes of a cluster do not come back in step.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace fairlead::kube {

class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  Backoff(Duration min, Duration max) : min_(min), max_(max), next_(min) {}

  Duration Next() {
    const auto full = std::min(next_, max_);
    next_ = std::min(full * 2, max_);
    return full - Duration(std::uniform_int_distribution<Duration::rep>(0, full.count() / 2)(random_));
  }
  void Reset() { next_ = min_; }

 private:
  const Duration min_;
  const Duration max_;
  Duration next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace fairlead::kube
