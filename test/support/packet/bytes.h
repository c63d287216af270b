// SPDX-License-Identifier: Apache-2.0
// Bytes of packets, in network order, and their checksums.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/base/address.h"

namespace fairlead::test {

using Bytes = std::vector<uint8_t>;
using Mac = std::array<uint8_t, 6>;

inline std::string MacText(std::span<const uint8_t> mac) {
  return fmt::format("{:02x}", fmt::join(mac, ":"));
}

// Appends to a packet under construction.
class Writing {
 public:
  explicit Writing(Bytes& to) : to_(to) {}

  Writing& U8(unsigned value) {
    to_.push_back(static_cast<uint8_t>(value));
    return *this;
  }
  Writing& U16(unsigned value) { return U8(value >> 8).U8(value); }
  Writing& U32(uint32_t value) { return U16(value >> 16).U16(value); }
  Writing& All(std::span<const uint8_t> bytes) {
    to_.insert(to_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  // 4 or 16 bytes, as its family has.
  Writing& Ip(const Address& address) {
    std::span<const uint8_t> bytes(address.raw.bytes);
    return All(address.GetFamily() == Family::kIpv4 ? bytes.subspan(12) : bytes);
  }

 private:
  Bytes& to_;
};

inline uint16_t U16At(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
inline void SetU16At(std::span<uint8_t> bytes, size_t at, unsigned value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// The Internet checksum over `parts`, one after the other (RFC 1071); every part but the last of even length.
inline uint16_t Checksum(std::initializer_list<std::span<const uint8_t>> parts) {
  uint64_t sum = 0;
  for (std::span<const uint8_t> part : parts) {
    for (size_t i = 0; i < part.size(); ++i) sum += i % 2 == 0 ? part[i] * 256U : part[i];
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// What TCP, UDP and ICMPv6 add to their checksums (RFC 9293 3.1, RFC 8200 8.1).
inline Bytes PseudoHeader(const Address& src, const Address& dst, uint8_t protocol, size_t length) {
  Bytes bytes;
  Writing to(bytes);
  to.Ip(src).Ip(dst);
  if (src.GetFamily() == Family::kIpv4) {
    to.U8(0).U8(protocol).U16(static_cast<unsigned>(length));
  } else {
    to.U32(static_cast<uint32_t>(length)).U16(0).U8(0).U8(protocol);
  }
  return bytes;
}

}  // namespace fairlead::test
