// SPDX-License-Identifier: Apache-2.0
#include "agent/base/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace fairlead {

namespace {

Address FromV4(in_addr v4) {
  Address address;
  address.raw.words[2] = IP_ADDR_V4_PREFIX;
  address.raw.words[3] = v4.s_addr;
  return address;
}

void ClearHostBits(ip_addr& addr, unsigned wire_bits) {
  for (unsigned i = 0; i < 16; ++i) {
    unsigned from = i * 8;
    if (from >= wire_bits) {
      addr.bytes[i] = 0;
    } else if (from + 8 > wire_bits) {
      addr.bytes[i] &= static_cast<uint8_t>(0xff << (from + 8 - wire_bits));
    }
  }
}

}  // namespace

std::span<const uint8_t> Address::Bytes() const {
  const std::span<const uint8_t> all(raw.bytes);
  return GetFamily() == Family::kIpv4 ? all.subspan(12) : all;
}

Address Address::FromBytes(Family family, std::span<const std::byte> bytes) {
  const size_t size = family == Family::kIpv4 ? 4 : 16;
  Address address;
  if (family == Family::kIpv4) address.raw.words[2] = IP_ADDR_V4_PREFIX;
  if (bytes.size() >= size) std::memcpy(address.raw.bytes + 16 - size, bytes.data(), size);
  return address;
}

bool Address::IsUnspecified() const {
  if (GetFamily() == Family::kIpv4) return raw.words[3] == 0;
  return raw.halves[0] == 0 && raw.halves[1] == 0;
}

bool Address::IsLoopback() const {
  if (GetFamily() == Family::kIpv4) return raw.bytes[12] == 127;
  static constexpr uint8_t kOne[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return std::memcmp(raw.bytes, kOne, 16) == 0;
}

std::string Address::ToString() const {
  char text[INET6_ADDRSTRLEN];
  if (GetFamily() == Family::kIpv4) {
    inet_ntop(AF_INET, &raw.bytes[12], text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, raw.bytes, text, sizeof(text));
  }
  return text;
}

Result<Address> Address::Parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  if (text.size() < sizeof(buffer) && text.find('\0') == std::string_view::npos) {
    std::memcpy(buffer, text.data(), text.size());
    buffer[text.size()] = '\0';
    in_addr v4{};
    if (inet_pton(AF_INET, buffer, &v4) == 1) return FromV4(v4);
    Address v6;
    if (inet_pton(AF_INET6, buffer, &v6.raw) == 1 && v6.GetFamily() == Family::kIpv6) return v6;
  }
  return Fail(ErrorKind::kInvalid, "expected an IPv4 or IPv6 address, got \"{}\"", text.substr(0, 64));
}

bool Cidr::Contains(const Address& address) const {
  if (address.GetFamily() != GetFamily()) return false;
  ip_addr masked = address.raw;
  ClearHostBits(masked, WireBits());
  return std::memcmp(&masked, &base.raw, sizeof(masked)) == 0;
}

std::string Cidr::ToString() const {
  return fmt::format("{}/{}", base.ToString(), bits);
}

Result<Cidr> Cidr::Parse(std::string_view text) {
  size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    auto base = Address::Parse(text.substr(0, slash));
    std::string_view digits = text.substr(slash + 1);
    unsigned bits = 0;
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (base && ec == std::errc() && end == digits.data() + digits.size() && digits.size() <= 3 &&
        bits <= (base->GetFamily() == Family::kIpv4 ? 32u : 128u)) {
      Cidr cidr{*base, static_cast<uint8_t>(bits)};
      ClearHostBits(cidr.base.raw, cidr.WireBits());
      if (cidr.base.GetFamily() != base->GetFamily()) cidr.base = *base;  // ::/n swallowing a mapped prefix
      return cidr;
    }
  }
  return Fail(ErrorKind::kInvalid, "expected a CIDR such as 10.0.0.0/8, got \"{}\"", text.substr(0, 64));
}

std::string AddressPort(const Address& address, uint16_t port) {
  return address.GetFamily() == Family::kIpv4 ? fmt::format("{}:{}", address.ToString(), port)
                                              : fmt::format("[{}]:{}", address.ToString(), port);
}

}  // namespace fairlead
