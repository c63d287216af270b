// SPDX-License-Identifier: Apache-2.0
// What rules in the form of iptables-save do with an imaginary packet. Knows the matches and targets that
// this project renders, and throws for any other: a rule it passed over would make a test say too much.
//
// The sets of ipset that ipvs mode's rules name are the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/plan/plan.h"

namespace fairlead::test {

// A packet on its way through the hooks, and what netfilter knows of it.
struct RulePacket {
  Address source, destination;
  uint16_t source_port = 0, destination_port = 0;
  plan::Protocol protocol = plan::Protocol::kTcp;
  std::string in_device, out_device;  // empty: none at this hook
  uint32_t mark = 0;
  bool translated = false;       // its destination, in this connection
  Address original_destination;  // before that
  bool masqueraded = false;
  std::string state = "NEW";  // of its connection

  friend auto operator<=>(const RulePacket&, const RulePacket&) = default;
};

enum class RuleEnd : uint8_t { kOn, kAccepted, kDropped, kRejected };

struct RuleOutcome {
  RuleEnd end = RuleEnd::kOn;  // kOn: to the next hook
  RulePacket packet;

  friend auto operator<=>(const RuleOutcome&, const RuleOutcome&) = default;
};

class IptablesRules {
 public:
  struct World {
    std::set<Address> node_addresses;  // for addrtype LOCAL; those of 127.0.0.0/8 and ::1 are local anyway
    // -m set --match-set NAME FLAGS; none by default: such a match throws.
    std::function<bool(const std::string& set, const std::string& flags, const RulePacket&)> in_set;
  };

  explicit IptablesRules(World world) : world_(std::move(world)) {}

  // "*nat", ":CHAIN", "-A ...", "COMMIT" of iptables-save, or what is fed to iptables-restore on an empty
  // kernel, -I included. Forgets what was there.
  void Load(std::string_view text);

  // Every way through one chain of the kernel's. Random choices are all taken; a client is remembered by no
  // list of -m recent.
  std::set<RuleOutcome> Walk(const std::string& table, const std::string& chain,
                             const RulePacket& packet) const;

 private:
  using Words = std::vector<std::string>;
  using Chain = std::vector<Words>;
  struct Step {
    RuleEnd end = RuleEnd::kOn;
    bool returned = false;
    RulePacket packet;
    friend auto operator<=>(const Step&, const Step&) = default;
  };
  struct Match {
    bool sure = true;     // it is a match, or is none
    bool chance = false;  // it may be one, or not
  };

  std::set<Step> WalkFrom(const std::string& table, const Chain& chain, size_t rule, const RulePacket& packet,
                          int depth) const;
  std::set<Step> Act(const std::string& table, const Words& target, const RulePacket& packet,
                     int depth) const;
  Match Matches(const Words& rule, const RulePacket& packet, Words& target) const;

  World world_;
  std::map<std::string, std::map<std::string, Chain>> tables_;
};

}  // namespace fairlead::test
