// SPDX-License-Identifier: Apache-2.0
// The table's fixed part as nft commands, one a line: sets, chains, rules, hooks. Pure.
//
//   prerouting, output   (nat)     services: address -> a shared chain, which marks and translates
//   after-nat            (filter)  what was translated: remember the client; what was not: refuse
//   postrouting          (nat)     masquerade what is marked, and hairpins
//
// Refusing comes after NAT, and in prerouting and output only: a packet of a known flow meets one rule of
// ours on its way through the node, `ct state new`.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/netfilter/options.h"
#include "agent/datapath/nftables/chains.h"
#include "agent/datapath/nftables/element.h"
#include "agent/plan/plan.h"

namespace fairlead::nftables {

inline constexpr std::string_view kTable = "fairlead";

std::string AddChain(std::string_view name);
std::string AddRule(std::string_view chain, std::string_view rule);
// Makes the chain, or leaves it with just these rules.
std::string RewriteChain(std::string_view name, const std::vector<std::string>& rules);

// The table and its sets.
std::string SetsScript();
// Sets of NodePlan, anew.
std::string NodeScript(const plan::NodePlan& node);
// The chains that are always there, but for the hooks.
std::string ChainsScript(netfilter::Serves serves);
std::string ChainScript(const Chain& chain, const Wording& wording);
// The hooks, with which the table begins to serve, and SchemaChain.
std::string HooksScript(const Wording& wording, netfilter::Serves serves);
inline constexpr std::string_view kDeleteTable = "delete table inet fairlead\n";

// An empty chain whose name says what sets and hooks the table has and what their elements mean. A table with
// the same one can be kept, and its elements with it. It comes last: without it a table is not complete.
std::string SchemaChain();

// All of it, with a chain of each kind, as a table of another name.
std::string ProbeScript();

// Names of chains that are always there, and of the sets that hold NodePlan.
std::vector<std::string> FixedChains();
std::vector<std::string> NodeSets();

}  // namespace fairlead::nftables
