// SPDX-License-Identifier: Apache-2.0
#include "agent/base/address.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

namespace fairlead {
namespace {

Address Must(std::string_view text) {
  auto address = Address::Parse(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(Address{});
}

TEST(Address, TextOfEitherFamilyIsParsedAndPrintedInItsShortForm) {
  struct Row {
    std::string_view text, printed;
    Family family;
  };
  for (const Row& row : {Row{"10.0.0.1", "10.0.0.1", Family::kIpv4},
                         {"0.0.0.0", "0.0.0.0", Family::kIpv4},
                         {"255.255.255.255", "255.255.255.255", Family::kIpv4},
                         {"fd00::1", "fd00::1", Family::kIpv6},
                         {"FD00:0:0:0::1", "fd00::1", Family::kIpv6},
                         {"::", "::", Family::kIpv6},
                         {"::1", "::1", Family::kIpv6}}) {
    Address address = Must(row.text);
    EXPECT_EQ(address.ToString(), row.printed);
    EXPECT_EQ(address.GetFamily(), row.family);
  }
}

TEST(Address, IPv4IsHeldAsIPv4MappedInNetworkOrder) {
  Address address = Must("10.1.2.3");
  const uint8_t expected[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
  EXPECT_TRUE(std::equal(expected, expected + 16, address.raw.bytes));
}

TEST(Address, WhatIsNoAddressIsRefusedAndQuoted) {
  using namespace std::string_view_literals;
  for (std::string_view text : {""sv, "10.0.0"sv, "10.0.0.256"sv, "10.0.0.01"sv, " 10.0.0.1"sv, "10.0.0.1 "sv,
                                "10.0.0.1:80"sv, "web"sv, "fd00::g"sv, "fe80::1%eth0"sv, "[::1]"sv,
                                "::ffff:10.0.0.1"sv, "10.0.0.1\0x"sv, "\xff\xfe"sv}) {
    auto address = Address::Parse(text);
    ASSERT_FALSE(address.has_value()) << text;
    EXPECT_EQ(address.error().kind, ErrorKind::kInvalid);
    EXPECT_EQ(address.error().message, "expected an IPv4 or IPv6 address, got \"" + std::string(text) + "\"");
  }
}

TEST(Address, ALongTextIsQuotedInPart) {
  auto address = Address::Parse(std::string(100'000, '1'));
  ASSERT_FALSE(address.has_value());
  EXPECT_LT(address.error().message.size(), 200u);
}

TEST(Address, LoopbackAndUnspecifiedAreKnownInBothFamilies) {
  EXPECT_TRUE(Must("127.0.0.1").IsLoopback());
  EXPECT_TRUE(Must("127.255.0.9").IsLoopback());
  EXPECT_TRUE(Must("::1").IsLoopback());
  EXPECT_FALSE(Must("128.0.0.1").IsLoopback());
  EXPECT_FALSE(Must("::2").IsLoopback());
  EXPECT_TRUE(Must("0.0.0.0").IsUnspecified());
  EXPECT_TRUE(Must("::").IsUnspecified());
  EXPECT_FALSE(Must("0.0.0.1").IsUnspecified());
  EXPECT_FALSE(Must("::1").IsUnspecified());
  EXPECT_NE(Must("0.0.0.0"), Must("::"));
}

TEST(Address, OrderIsThatOfTheBytes) {
  std::vector<Address> addresses = {Must("fd00::2"), Must("10.0.0.10"), Must("fd00::1"), Must("10.0.0.9"),
                                    Must("9.255.0.1")};
  std::sort(addresses.begin(), addresses.end());
  std::vector<std::string> texts;
  for (const Address& address : addresses) texts.push_back(address.ToString());
  EXPECT_EQ(texts, (std::vector<std::string>{"9.255.0.1", "10.0.0.9", "10.0.0.10", "fd00::1", "fd00::2"}));
}

TEST(Address, NeighboursHashApart) {
  std::unordered_set<size_t> hashes;
  Address address = Must("10.180.0.0");
  for (unsigned i = 0; i < 65536; ++i) {
    address.raw.bytes[14] = static_cast<uint8_t>(i >> 8);
    address.raw.bytes[15] = static_cast<uint8_t>(i);
    hashes.insert(std::hash<Address>()(address));
  }
  EXPECT_EQ(hashes.size(), 65536u);
}

TEST(Cidr, HostBitsAreClearedAndTheLengthCountsInItsFamily) {
  struct Row {
    std::string_view text, printed;
    int wire_bits;
  };
  for (const Row& row : {Row{"10.1.2.3/8", "10.0.0.0/8", 104},
                         {"10.1.2.3/32", "10.1.2.3/32", 128},
                         {"10.1.2.3/0", "0.0.0.0/0", 96},
                         {"192.168.99.11/27", "192.168.99.0/27", 123},
                         {"fd00:1:2::3/48", "fd00:1:2::/48", 48},
                         {"fd00::1/127", "fd00::/127", 127},
                         {"::/0", "::/0", 0}}) {
    auto cidr = Cidr::Parse(row.text);
    ASSERT_TRUE(cidr.has_value()) << row.text;
    EXPECT_EQ(cidr->ToString(), row.printed);
    EXPECT_EQ(cidr->WireBits(), row.wire_bits);
  }
}

TEST(Cidr, WhatIsNoPrefixIsRefused) {
  for (std::string_view text : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "/8",
                                "10.0.0.0/8x", "10.0.0.0/+8", "10.0.0.0/0008", "x/8", "10.0.0.0/ 8"}) {
    auto cidr = Cidr::Parse(text);
    ASSERT_FALSE(cidr.has_value()) << text;
    EXPECT_EQ(cidr.error().kind, ErrorKind::kInvalid);
    EXPECT_EQ(cidr.error().message, "expected a CIDR such as 10.0.0.0/8, got \"" + std::string(text) + "\"");
  }
}

TEST(Cidr, ContainsItsAddressesAndNoneOfTheOtherFamily) {
  struct Row {
    std::string_view cidr, address;
    bool contains;
  };
  for (const Row& row : {Row{"10.0.0.0/8", "10.255.255.255", true},
                         {"10.0.0.0/8", "11.0.0.0", false},
                         {"192.168.99.0/25", "192.168.99.127", true},
                         {"192.168.99.0/25", "192.168.99.128", false},
                         {"10.0.0.1/32", "10.0.0.1", true},
                         {"0.0.0.0/0", "203.0.113.2", true},
                         {"0.0.0.0/0", "fd00::1", false},
                         {"::/0", "fd00::1", true},
                         {"::/0", "10.0.0.1", false},
                         {"fd00:10:180:1::/64", "fd00:10:180:1:ffff::", true},
                         {"fd00:10:180:1::/64", "fd00:10:180:2::", false}}) {
    EXPECT_EQ(Cidr::Parse(row.cidr)->Contains(Must(row.address)), row.contains)
        << row.cidr << " " << row.address;
  }
}

TEST(AddressPort, IPv6IsBracketed) {
  EXPECT_EQ(AddressPort(Must("10.0.0.1"), 80), "10.0.0.1:80");
  EXPECT_EQ(AddressPort(Must("fd00::1"), 65535), "[fd00::1]:65535");
}

TEST(AddressTest, BytesAreThoseOfAHeaderAndLeadBack) {
  for (const char* text : {"192.0.2.7", "2001:db8::7"}) {
    const Address address = *Address::Parse(text);
    const auto bytes = std::as_bytes(address.Bytes());
    EXPECT_EQ(bytes.size(), address.GetFamily() == Family::kIpv4 ? 4u : 16u) << text;
    EXPECT_EQ(Address::FromBytes(address.GetFamily(), bytes), address) << text;
    EXPECT_TRUE(Address::FromBytes(address.GetFamily(), bytes.subspan(1)).IsUnspecified()) << "too short";
  }
}

}  // namespace
}  // namespace fairlead
