// SPDX-License-Identifier: Apache-2.0
// Addresses, prefixes and families as the agent handles them: struct ip_addr of wire.h with comparison, text
// and parsing. All bytes in network order; IPv4 is IPv4-mapped. Ports here are host order unless the name
// says be16.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "fairlead/wire.h"

namespace fairlead {

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

inline std::string_view FamilyName(Family family) {
  return family == Family::kIpv4 ? "IPv4" : "IPv6";
}

// A value type over the wire address: ordered, hashable, printable.
struct Address {
  ip_addr raw{};

  Family GetFamily() const {
    return raw.halves[0] == 0 && raw.words[2] == IP_ADDR_V4_PREFIX ? Family::kIpv4 : Family::kIpv6;
  }
  bool IsUnspecified() const;  // 0.0.0.0 or ::
  bool IsLoopback() const;     // 127.0.0.0/8 or ::1
  std::string ToString() const;

  // As headers and netlink attributes have it: 4 bytes or 16, network order.
  std::span<const uint8_t> Bytes() const;
  // From the first 4 or 16 bytes; 0.0.0.0 or :: where there are fewer.
  static Address FromBytes(Family family, std::span<const std::byte> bytes);

  // Canonical text of either family ("10.0.0.1", "fd00::1"); zones, ports, leading zeros in IPv4 and
  // IPv4-mapped IPv6 text are refused (kInvalid). The message quotes the text.
  static Result<Address> Parse(std::string_view text);

  friend bool operator==(const Address& a, const Address& b) {
    return a.raw.halves[0] == b.raw.halves[0] && a.raw.halves[1] == b.raw.halves[1];
  }
  friend std::strong_ordering operator<=>(const Address& a, const Address& b) {
    return std::memcmp(&a.raw, &b.raw, sizeof(a.raw)) <=> 0;
  }
};

// A prefix. `bits` counts within the address's own family (0-32 or 0-128); host bits are zero.
struct Cidr {
  Address base;
  uint8_t bits = 0;

  Family GetFamily() const { return base.GetFamily(); }
  bool Contains(const Address& address) const;  // false across families
  // Prefix length over the 16-byte form: IPv4 bits + 96.
  uint8_t WireBits() const { return static_cast<uint8_t>(GetFamily() == Family::kIpv4 ? bits + 96 : bits); }
  std::string ToString() const;
  // "10.0.0.0/8"; host bits are cleared, as kube-proxy does. kInvalid with the text quoted otherwise.
  static Result<Cidr> Parse(std::string_view text);

  friend bool operator==(const Cidr&, const Cidr&) = default;
  friend std::strong_ordering operator<=>(const Cidr&, const Cidr&) = default;
};

// "10.0.0.1:80", "[fd00::1]:80"; port in host order.
std::string AddressPort(const Address& address, uint16_t port);

}  // namespace fairlead

template <>
struct std::hash<fairlead::Address> {
  size_t operator()(const fairlead::Address& address) const noexcept {
    uint64_t h = (address.raw.halves[0] ^ 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
    h = ((h ^ (h >> 32)) + address.raw.halves[1]) * 0xc4ceb9fe1a85ec53ULL;
    return h ^ (h >> 29);
  }
};
