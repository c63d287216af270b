// SPDX-License-Identifier: Apache-2.0
// Input for iptables-restore --noflush. Pure.
//
// Each table's part is one transaction of the kernel's. A chain that is named is emptied, or made; so writing
// a chain needs no knowledge of whether it stands, and writing it twice does no harm. That holds for chains
// that go, too.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/datapath/iptables/node_rules.h"
#include "agent/datapath/iptables/ruleset.h"

namespace fairlead::iptables {

struct Edit {
  ChainNames chains;          // to be made what the ruleset has; those it does not have go
  std::vector<Jump> missing;  // jumps, in the order they are to stand in
  std::vector<Jump> surplus;

  bool empty() const { return chains[0].empty() && chains[1].empty() && missing.empty() && surplus.empty(); }
};

struct RestoreText {
  std::string text;
  std::array<uint64_t, 2> rules{};  // in it, by Table
  ChainNames gone;                  // chains that end
};

// Whether chains that end are deleted, or only emptied. One that a rule of somebody else's leads to cannot be
// deleted, and the table's whole part is refused.
enum class Ends : uint8_t { kDeleted, kEmptied };

RestoreText RenderRestore(const Edit& edit, const Ruleset& rules, Ends ends = Ends::kDeleted);
// Deletes chains that are empty.
std::string RenderDeletion(const ChainNames& chains);

}  // namespace fairlead::iptables
