// SPDX-License-Identifier: Apache-2.0
// The plan of one service: its ports, family by family, from the service, its slices and what it has won of
// its claims.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/kube/objects.h"
#include "agent/plan/claims.h"
#include "agent/plan/findings.h"
#include "agent/plan/plan.h"

namespace fairlead::plan {

// Sorted by key. `service` is a proxied one (frontends.h), `slices` null if it has none.
std::vector<ServicePort> PlanService(const kube::Service& service,
                                     const std::map<std::string, kube::EndpointSlice>* slices,
                                     const NodeFacts& facts, const Claims& claims, Findings& findings);

}  // namespace fairlead::plan
