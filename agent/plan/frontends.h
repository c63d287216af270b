// SPDX-License-Identifier: Apache-2.0
// The addresses a service asks to be served on, before other services' claims are looked at.
#pragma once

#include <span>
#include <vector>

#include "agent/kube/objects.h"
#include "agent/plan/claims.h"
#include "agent/plan/findings.h"
#include "agent/plan/plan.h"

namespace fairlead::plan {

inline constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};

// False for services left out entirely: without cluster IP, ExternalName, another proxy's.
bool Proxied(const kube::Service& service);

// A proxied service takes part in a family if it has a cluster IP of it.
bool HasFamily(const kube::Service& service, Family family);

// The ports that can be planned. Of two with one name and protocol, or one number and protocol, or one node
// port and protocol, only the first: the API server refuses such services, a manifest may hold one.
std::vector<const kube::ServicePort*> UsablePorts(const kube::Service& service, Findings* findings);

// Sorted; one frontend an address and port. Where a service lists an address twice, the cluster IP goes
// first, then the load balancer: the source ranges that guard a load balancer address must not be lifted by
// naming the address as an external IP too.
std::vector<Frontend> FrontendsOf(const kube::Service& service, const kube::ServicePort& port, Family family,
                                  const NodeFacts& facts);

// True if clients outside the cluster have a way in: a node port, load balancer address or external IP.
bool ExternallyAccessible(std::span<const Frontend> frontends);

Claim ClaimOf(const Frontend& frontend, Protocol protocol);
std::vector<Claimed> ClaimsOf(const kube::Service& service, const NodeFacts& facts);

}  // namespace fairlead::plan
