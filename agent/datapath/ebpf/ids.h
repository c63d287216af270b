// SPDX-License-Identifier: Apache-2.0
// Small numbers for things, from 1 up to a capacity. A number comes back only when fresh ones have run out,
// and then the one longest out of use first: a stale reference elsewhere has the best chance to have expired.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace fairlead::ebpf {

class IdPool {
 public:
  // Ids are below `capacity`, since they index arrays of that size.
  explicit IdPool(uint32_t capacity) : taken_(capacity) {}

  std::optional<uint32_t> Take() {
    while (fresh_ < taken_.size() && taken_[fresh_]) ++fresh_;
    while (!given_.empty() && taken_[given_.front()]) given_.pop_front();  // claimed meanwhile
    uint32_t id = 0;
    if (fresh_ < taken_.size()) {
      id = fresh_++;
    } else if (!given_.empty()) {
      id = given_.front();
      given_.pop_front();
    } else {
      return std::nullopt;
    }
    taken_[id] = true;
    ++used_;
    return id;
  }

  // Marks an id as taken that is known from elsewhere (restart). False if it is taken or out of bounds.
  bool Claim(uint32_t id) {
    if (!Free(id)) return false;
    taken_[id] = true;
    ++used_;
    return true;
  }

  bool Free(uint32_t id) const { return id != 0 && id < taken_.size() && !taken_[id]; }

  void Give(uint32_t id) {
    taken_[id] = false;
    --used_;
    if (id < fresh_) given_.push_back(id);
  }

  uint32_t used() const { return used_; }
  uint32_t capacity() const { return taken_.empty() ? 0 : static_cast<uint32_t>(taken_.size() - 1); }

 private:
  std::vector<bool> taken_;
  uint32_t fresh_ = 1;
  uint32_t used_ = 0;
  std::deque<uint32_t> given_;
};

}  // namespace fairlead::ebpf
