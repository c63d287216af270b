// SPDX-License-Identifier: Apache-2.0
// What holds for the node as a whole: which of its addresses answer NodePorts, which sources are pods'.
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

// True if the local-traffic detector can tell a pod of this family: it goes by device, or has a prefix of the
// family. kube-proxy decides so per family, too (pkg/proxy/util/localdetector.go).
bool DetectsPods(const NodeFacts& facts, Family family);

// Where the HTTP servers of health check node ports listen: the addresses that answer NodePorts, loopback
// included; the unspecified address where nothing narrows the family.
std::vector<Address> HealthCheckAddresses(const NodeFacts& facts, Family family);

}  // namespace fairlead::plan
