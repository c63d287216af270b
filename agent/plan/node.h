// SPDX-License-Identifier: Apache-2.0
// What holds for the node as a whole: which of its addresses answer NodePorts.
#pragma once

#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::plan {

// `service_cidrs` sorted.
//
// Every address answers unless --nodeport-addresses narrows it. Ranges narrow the families they belong to; a
// family without a range keeps every address. "primary" narrows both families, to one address each, loopback
// excluded. Loopback answers if localhost NodePorts are on and no range excludes 127.0.0.1 or ::1.
NodePlan PlanNode(const NodeFacts& facts, std::vector<Cidr> service_cidrs);

}  // namespace fairlead::plan
