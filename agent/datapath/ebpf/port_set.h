// SPDX-License-Identifier: Apache-2.0
// A set of ports, host order, in the words of maps/nat_ports.h.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/base/error.h"

namespace fairlead::ebpf {

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;  // in it
};

// "30000-32767", or one port. kInvalid quotes the text.
Result<PortRange> ParsePortRange(std::string_view text);

class PortSet {
 public:
  static constexpr size_t kWords = 65536 / 64;

  bool Has(uint16_t port) const { return words_[port / 64] >> port % 64 & 1; }
  PortSet& Add(uint16_t port) {
    words_[port / 64] |= uint64_t{1} << port % 64;
    return *this;
  }
  PortSet& Add(PortRange range) {
    for (uint32_t port = range.first; port <= range.last; ++port) Add(static_cast<uint16_t>(port));
    return *this;
  }
  PortSet& operator|=(const PortSet& other) {
    for (size_t i = 0; i < kWords; ++i) words_[i] |= other.words_[i];
    return *this;
  }
  PortSet& operator-=(const PortSet& other) {
    for (size_t i = 0; i < kWords; ++i) words_[i] &= ~other.words_[i];
    return *this;
  }
  size_t Count() const {
    size_t count = 0;
    for (uint64_t word : words_) count += static_cast<size_t>(std::popcount(word));
    return count;
  }
  uint64_t Word(size_t i) const { return words_[i]; }

  friend bool operator==(const PortSet&, const PortSet&) = default;

 private:
  std::array<uint64_t, kWords> words_{};
};

}  // namespace fairlead::ebpf
