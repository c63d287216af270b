// SPDX-License-Identifier: Apache-2.0
// What nft rules do with an imaginary packet. Knows what this project writes, and throws for anything else: a
// rule it passed over would make a test say too much.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "test/support/nftables/fake_kernel.h"

namespace fairlead::test {

// A packet on its way, the first of its connection.
struct NftPacket {
  Address source, destination;
  uint16_t source_port = 0, destination_port = 0;
  std::string protocol = "tcp";
  std::string device;  // it came in by; empty: none
  uint32_t mark = 0;
  bool translated = false;
  bool masqueraded = false;
  Address first_destination;  // before it was translated
  uint16_t first_port = 0;

  friend auto operator<=>(const NftPacket&, const NftPacket&) = default;
};

enum class NftEnd : uint8_t { kOn, kAccepted, kDropped, kRejected };

struct NftOutcome {
  NftEnd end = NftEnd::kOn;
  NftPacket packet;

  friend auto operator<=>(const NftOutcome&, const NftOutcome&) = default;
};

class NftRules {
 public:
  NftRules(const FakeNftables& kernel, const std::set<Address>& local) : kernel_(kernel), local_(local) {}

  // Every way through a chain; random numbers are all drawn.
  std::set<NftOutcome> Walk(const std::string& chain, const NftPacket& packet) const;

 private:
  struct Rule;
  std::set<NftOutcome> WalkFrom(const std::string& chain, size_t rule, const NftPacket& packet,
                                int depth) const;
  std::set<NftOutcome> Act(Rule& rule, const std::string& chain, size_t next, NftPacket packet,
                           int depth) const;
  std::set<NftOutcome> Translate(Rule& rule, const std::string& chain, size_t next, const NftPacket& packet,
                                 int depth) const;
  std::string TakeProtocol(Rule& rule) const;
  std::set<NftOutcome> Follow(const std::string& verdict, const std::string& chain, size_t next,
                              const NftPacket& packet, int depth) const;
  std::vector<std::string> Keys(Rule& rule, const NftPacket& packet) const;
  std::string Field(Rule& rule, const NftPacket& packet) const;
  const std::string* Find(const std::string& set, const std::string& key) const;

  const FakeNftables& kernel_;
  const std::set<Address>& local_;
};

}  // namespace fairlead::test
