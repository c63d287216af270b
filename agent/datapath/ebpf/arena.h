// SPDX-License-Identifier: Apache-2.0
// Which stretches of an array are free: best fit, neighbours merged. Knows nothing of the contents.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace fairlead::ebpf {

class Arena {
 public:
  explicit Arena(uint32_t capacity) : capacity_(capacity) { Add(0, capacity); }

  // The start of `length` free elements, or nothing. Best fit; the lowest of equals.
  std::optional<uint32_t> Take(uint32_t length) {
    auto it = by_length_.lower_bound({length, 0});
    if (length == 0 || it == by_length_.end()) return std::nullopt;
    auto [free_length, start] = *it;
    Remove(start, free_length);
    if (free_length > length) Add(start + length, free_length - length);
    used_ += length;
    return start;
  }

  // Marks a stretch as taken that is known from elsewhere (restart). False if any of it is taken or out of
  // bounds.
  bool Claim(uint32_t start, uint32_t length) {
    auto it = by_start_.upper_bound(start);
    if (length == 0 || it == by_start_.begin()) return false;
    --it;
    auto [free_start, free_length] = *it;
    if (uint64_t{start} + length > uint64_t{free_start} + free_length) return false;
    Remove(free_start, free_length);
    if (start > free_start) Add(free_start, start - free_start);
    uint32_t end = start + length;
    if (free_start + free_length > end) Add(end, free_start + free_length - end);
    used_ += length;
    return true;
  }

  // Gives a stretch back that was taken or claimed.
  void Give(uint32_t start, uint32_t length) {
    used_ -= length;
    auto next = by_start_.lower_bound(start);
    if (next != by_start_.end() && next->first == start + length) {
      uint32_t next_length = next->second;
      Remove(start + length, next_length);
      length += next_length;
    }
    auto previous = by_start_.lower_bound(start);
    if (previous != by_start_.begin()) {
      --previous;
      auto [previous_start, previous_length] = *previous;
      if (previous_start + previous_length == start) {
        Remove(previous_start, previous_length);
        start = previous_start;
        length += previous_length;
      }
    }
    Add(start, length);
  }

  uint32_t used() const { return used_; }
  uint32_t capacity() const { return capacity_; }

 private:
  void Add(uint32_t start, uint32_t length) {
    if (length == 0) return;
    by_start_.emplace(start, length);
    by_length_.emplace(length, start);
  }
  void Remove(uint32_t start, uint32_t length) {
    by_start_.erase(start);
    by_length_.erase({length, start});
  }

  uint32_t capacity_;
  uint32_t used_ = 0;
  std::map<uint32_t, uint32_t> by_start_;
  std::set<std::pair<uint32_t, uint32_t>> by_length_;
};

}  // namespace fairlead::ebpf
