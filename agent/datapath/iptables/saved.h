// SPDX-License-Identifier: Apache-2.0
// What iptables-save says of a table, as far as it is ours. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/iptables/node_rules.h"
#include "agent/datapath/iptables/ruleset.h"

namespace fairlead::iptables {

struct Saved {
  Chains chains;            // ours, each with its rules as lines "-A ..."
  std::vector<Jump> jumps;  // to ours, from chains that are not, in their order
};

// Where a rule, as iptables-save prints it, leads; empty: nowhere. What it says in quotes is no part of it.
std::string_view TargetOf(std::string_view rule);

Saved ParseSaved(Table table, std::string_view text);

// The packets that a rule has seen, in what ListCounted gives: of the first rule that has this in it.
std::optional<uint64_t> PacketsOf(std::string_view text, std::string_view match);

}  // namespace fairlead::iptables
