// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/node.h"

#include <algorithm>
#include <utility>

namespace fairlead::plan {

namespace {

bool Answers(const NodeFacts& facts, const Address& address) {
  Family family = address.GetFamily();
  bool narrowed = facts.nodeport_primary;
  for (const Cidr& range : facts.nodeport_cidrs) {
    if (range.Contains(address)) return true;
    narrowed = narrowed || range.GetFamily() == family;
  }
  return !narrowed;
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
  plan.loopback_nodeports_v6 = facts.localhost_nodeports && Answers(facts, Loopback(Family::kIpv6));
  plan.service_cidrs = std::move(service_cidrs);
  return plan;
}

}  // namespace fairlead::plan
