// SPDX-License-Identifier: Apache-2.0
// What of the rules does not depend on Services: the jumps from the kernel's chains to ours, and the chains
// that mark, masquerade and guard. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/datapath/iptables/names.h"
#include "agent/datapath/iptables/service_rules.h"
#include "agent/datapath/netfilter/options.h"
#include "agent/plan/plan.h"

namespace fairlead::iptables {

// A rule of ours in a chain of the kernel's. Those of one chain are put before the rules of others, in this
// order; what others put before them later is not looked at.
struct Jump {
  Table table = Table::kNat;
  std::string from;  // "PREROUTING"
  std::string rule;  // with its target

  friend auto operator<=>(const Jump&, const Jump&) = default;
};

struct NodeRules {
  std::vector<Jump> jumps;
  std::map<std::string, std::string> chains[2];  // by Table
};

NodeMatches MatchesOf(Family family, const netfilter::NetfilterOptions& options, const plan::NodePlan& node);
// `guarded`: 127.0.0.0/8 is, though no NodePort answers there.
NodeRules RenderNode(Family family, const netfilter::NetfilterOptions& options, const plan::NodePlan& node,
                     bool guarded = false);

// What is in the rules of table filter whose packets are counted for /metrics: of the chains kForward and
// kLocalhost.
inline constexpr std::string_view kInvalid = "-m conntrack --ctstate INVALID";
inline constexpr std::string_view kViaLocalhost = "-m conntrack --ctstate DNAT --ctorigdst 127.0.0.0/8";

}  // namespace fairlead::iptables
