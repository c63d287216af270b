// SPDX-License-Identifier: Apache-2.0
// A hook of netfilter on a packet's way: where it ends there, the end; where it goes on, what comes next.
#pragma once

#include <set>
#include <string>

#include "test/support/behaviour.h"
#include "test/support/iptables/rules.h"

namespace fairlead::test {

template <typename Next>
void WalkHook(const IptablesRules& rules, const std::string& table, const std::string& chain,
              const RulePacket& packet, std::set<Traced>& ends, const Next& next) {
  for (const RuleOutcome& outcome : rules.Walk(table, chain, packet)) {
    if (outcome.end == RuleEnd::kDropped) {
      ends.insert({TraceEnd::kDropped, {}, 0, false});
    } else if (outcome.end == RuleEnd::kRejected) {
      ends.insert({TraceEnd::kRejected, {}, 0, false});
    } else {
      next(outcome.packet);
    }
  }
}

}  // namespace fairlead::test
