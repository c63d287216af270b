// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/node.h"

#include <algorithm>
#include <utility>

namespace fairlead::plan {

namespace {

// True if not every address of the family answers NodePorts.
bool Narrowed(const NodeFacts& facts, Family family) {
  bool narrowed = facts.nodeport_primary;
  for (const Cidr& range : facts.nodeport_cidrs) {
    if (range.GetFamily() != family) continue;
    if (range.bits == 0) return false;
    narrowed = true;
  }
  return narrowed;
}

bool Answers(const NodeFacts& facts, const Address& address) {
  return !Narrowed(facts, address.GetFamily()) ||
         std::any_of(facts.nodeport_cidrs.begin(), facts.nodeport_cidrs.end(),
                     [&](const Cidr& range) { return range.Contains(address); });
}

// The prefixes the detector goes by.
const std::vector<Cidr>& DetectorCidrs(const NodeFacts& facts) {
  return facts.pods_by_node_cidr ? facts.node_pod_cidrs : facts.cluster_cidrs;
}

Address Loopback(Family family) {
  Address loopback = AnyAddress(family);
  if (family == Family::kIpv4) loopback.raw.bytes[12] = 127;
  loopback.raw.bytes[15] = 1;
  return loopback;
}

}  // namespace

NodePlan PlanNode(const NodeFacts& facts, std::vector<Cidr> service_cidrs) {
  NodePlan plan;
  for (const Address& address : facts.addresses) {
    if (!address.IsLoopback() && Answers(facts, address)) plan.nodeport_addresses.push_back(address);
  }
  if (facts.nodeport_primary) {
    for (Family family : {Family::kIpv4, Family::kIpv6}) {
      auto first = std::find_if(facts.primary_addresses.begin(), facts.primary_addresses.end(),
                                [&](const Address& address) { return address.GetFamily() == family; });
      if (first != facts.primary_addresses.end()) plan.nodeport_addresses.push_back(*first);
    }
  }
  std::sort(plan.nodeport_addresses.begin(), plan.nodeport_addresses.end());
  auto tail = std::unique(plan.nodeport_addresses.begin(), plan.nodeport_addresses.end());
  plan.nodeport_addresses.erase(tail, plan.nodeport_addresses.end());

  plan.loopback_nodeports_v4 = facts.localhost_nodeports && Answers(facts, Loopback(Family::kIpv4));
  plan.loopback_nodeports_v6 =
      facts.localhost_nodeports && facts.localhost_nodeports_v6 && Answers(facts, Loopback(Family::kIpv6));
  plan.service_cidrs = std::move(service_cidrs);
  if (facts.detects_pods) plan.pod_cidrs = DetectorCidrs(facts);
  std::sort(plan.pod_cidrs.begin(), plan.pod_cidrs.end());
  plan.pod_cidrs.erase(std::unique(plan.pod_cidrs.begin(), plan.pod_cidrs.end()), plan.pod_cidrs.end());
  return plan;
}

bool DetectsPods(const NodeFacts& facts, Family family) {
  if (!facts.detects_pods) return false;
  const std::vector<Cidr>& cidrs = DetectorCidrs(facts);
  bool by_device = !facts.pods_by_node_cidr && cidrs.empty();
  return by_device || std::any_of(cidrs.begin(), cidrs.end(),
                                  [&](const Cidr& cidr) { return cidr.GetFamily() == family; });
}

std::vector<Address> HealthCheckAddresses(const NodeFacts& facts, Family family) {
  if (!Narrowed(facts, family)) return {AnyAddress(family)};
  NodePlan plan = PlanNode(facts, {});
  std::vector<Address> addresses;
  for (const Address& address : plan.nodeport_addresses) {
    if (address.GetFamily() == family) addresses.push_back(address);
  }
  if (family == Family::kIpv4 ? plan.loopback_nodeports_v4 : plan.loopback_nodeports_v6) {
    addresses.push_back(Loopback(family));
  }
  return addresses;
}

}  // namespace fairlead::plan
