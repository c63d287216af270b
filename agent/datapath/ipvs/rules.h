// SPDX-License-Identifier: Apache-2.0
// The rules around IPVS: chains FAIRLEAD-IPVS-* of iptables and ip6tables, the same however many Services
// there are. Pure.
//
// IPVS translates in LOCAL_IN and LOCAL_OUT, after mangle and, for what comes in, after filter. So:
//   mangle INPUT, OUTPUT            drops that hold for the node's own packets too
//   filter INPUT                    refuses what is for an address of our device, but no frontend
//   nat PREROUTING, OUTPUT          marks what is to be masqueraded, by the frontend's address
//   nat POSTROUTING                 masquerades it, by the backend's
//   filter FORWARD                  lets the answers through a host that forwards nothing else
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/datapath/netfilter/options.h"

namespace fairlead::ipvs {

struct RuleChain {
  std::string name;
  std::vector<std::string> rules;  // as after "-A <name> "
};

struct RuleTable {
  std::string_view name;  // of kRuleTables
  std::vector<RuleChain> chains;
  struct Jump {
    std::string from, to;
  };
  std::vector<Jump> jumps;  // from built-in chains, each first in its chain
};

inline constexpr std::string_view kChainPrefix = "FAIRLEAD-IPVS-";
inline constexpr std::string_view kRuleTables[] = {"mangle", "filter", "nat"};

// In the order of kRuleTables.
std::vector<RuleTable> RenderRules(Family family, const netfilter::NetfilterOptions& options);

// Chains' rules and jumps.
uint64_t RulesOf(const RuleTable& table);

// What iptables-save prints of one table, out of what it prints of all; empty if the table is not in use.
std::string_view SavedTable(std::string_view saved, std::string_view table);
// Input for iptables-restore --noflush: fills the chains, and adds the jumps that the saved table lacks. One
// transaction.
std::string RestoreText(const RuleTable& table, std::string_view saved);
// Likewise: takes every jump to a chain of ours and every such chain away; empty if there is none.
std::string RemoveText(std::string_view table, std::string_view saved);

// The lines of ours in what was saved, without counters.
std::vector<std::string> OurLines(std::string_view saved);

}  // namespace fairlead::ipvs
