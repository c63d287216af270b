// SPDX-License-Identifier: Apache-2.0
// What a mode makes of what was asked for. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/datapath/modes/mode.h"
#include "agent/options.h"
#include "agent/plan/plan.h"

namespace fairlead::modes {

// The facts as this mode serves them (SEMANTICS section 4): where NodePorts answer when nobody said, on which
// loopback addresses, and which algorithms and forwardings there are.
plan::NodeFacts FactsIn(Mode mode, plan::NodeFacts facts);

// Settings that this mode does not read although somebody made them, a line each.
std::vector<std::string> WithoutEffect(Mode mode, const Options& options);

}  // namespace fairlead::modes
