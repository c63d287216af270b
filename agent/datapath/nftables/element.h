// SPDX-License-Identifier: Apache-2.0
// An element of one of the table's sets, as the kernel holds it, and the sets there are. What the rules
// cannot say in O(1) is said by elements; a Service is nothing else.
//
// Keys and values are nft's concatenations: each field in network order, padded to 4 bytes; a slot number in
// host order, as `numgen` makes it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/address.h"
#include "agent/datapath/netfilter/protocol.h"
#include "agent/plan/plan.h"

namespace fairlead::nftables {

// Each exists once a family: services4, services6.
enum class Set : uint8_t {
  kServices,          // address . protocol . port : goto the chain that chooses
  kBackends,          // address . protocol . port . slot : backend address . port
  kNodePorts,         // protocol . port : goto the chain that chooses
  kNodePortBackends,  // protocol . port . slot : backend address . port
  kNoEndpoints,       // address . protocol . port : goto rejects, or drop
  kNoEndpointNodePorts,
  kClusterIps,    // address
  kGuarded,       // address . protocol . port, that has source ranges
  kSourceRanges,  // address . protocol . port . client
  kHairpin,       // a backend that may reach itself here, twice
  kSticky,        // address . protocol . port : jump to where the client is remembered
  kStickyNodePorts,
  kStickyHere,  // likewise, for clients of the local list
  kStickyHereNodePorts,
  kRemember,  // likewise: goto the chain that remembers a client
  kRememberNodePorts,
};
inline constexpr size_t kSets = 16;

// A set of a family, as nft has it.
struct SetSpec {
  std::string_view name;        // without the family's digit
  bool map = false;             // has values
  bool verdicts = false;        // and these are verdicts
  std::string_view definition;  // "ADDR" stands for ipv4_addr or ipv6_addr, "IP" for ip or ip6
};
const SetSpec& SpecOf(Set set);
std::string SetName(Set set, Family family);  // "services4"

// A key or a value: at most address . protocol . port . address of IPv6.
struct Bytes {
  std::array<uint8_t, 40> data{};
  uint8_t size = 0;

  Bytes& Add(const Address& address);
  Bytes& AddPort(uint16_t port);  // host order
  Bytes& Add(plan::Protocol protocol);
  Bytes& AddSlot(uint32_t slot);
  std::span<const uint8_t> View() const { return {data.data(), size}; }

  friend bool operator==(const Bytes&, const Bytes&) = default;
  friend auto operator<=>(const Bytes&, const Bytes&) = default;
};

enum class Verdict : uint8_t { kNone, kDrop, kGoto, kJump };

struct Element {
  Set set = Set::kServices;
  Family family = Family::kIpv4;
  Bytes key, key_end;  // key_end: the last address of an interval set's element, else empty
  Bytes value;         // of a map without verdicts
  Verdict verdict = Verdict::kNone;
  std::string chain;    // kGoto, kJump
  std::string comment;  // for who reads `nft list`: "shop/cart:http"

  friend bool operator==(const Element&, const Element&) = default;
  friend auto operator<=>(const Element&, const Element&) = default;
};

// 64 bits that stand for an element's place (set and key) and for all of it. A table of a million elements
// has two with equal digests once in 10^7 tables.
struct Digest {
  uint64_t place = 0;
  uint64_t content = 0;
};
Digest DigestOf(const Element& element);

// What an element is for: a frontend, on one side of NodePorts or the other; where it is not for one, itself.
// Equal for all elements of a frontend; 64 bits, as above.
uint64_t OwnerOf(const Element& element);

// As nft writes it: `10.96.0.1 . tcp . 80 comment "shop/cart:http" : goto pick4-2`.
std::string ToText(const Element& element);

using netfilter::ProtocolWord;

}  // namespace fairlead::nftables
