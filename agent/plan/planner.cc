// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/planner.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "agent/plan/claims.h"
#include "agent/plan/frontends.h"
#include "agent/plan/node.h"
#include "agent/plan/service.h"

namespace fairlead::plan {

struct Planner::State {
  NodeFacts facts;
  Plan plan;
  Claims claims;
  std::map<ObjectName, std::set<std::string>> said;  // ids of the findings that last, by service
  NoLocalEndpoints no_local[2];                      // IPv4, IPv6

  void PlanAgain(const model::Cluster& cluster, const ObjectName& name, Delta& delta);
  void Merge(const ObjectName& name, std::vector<ServicePort> ports, std::vector<Change>& changes);
  void Say(const ObjectName& name, Findings findings, std::vector<kube::Problem>& problems);
  NoLocalEndpoints& NoLocal(Family family) { return no_local[family == Family::kIpv4 ? 0 : 1]; }
};

namespace {

const kube::Service* FindProxied(const model::Cluster& cluster, const ObjectName& name) {
  const kube::Service* service = cluster.FindService(name);
  return service != nullptr && Proxied(*service) ? service : nullptr;
}

}  // namespace

void Planner::State::PlanAgain(const model::Cluster& cluster, const ObjectName& name, Delta& delta) {
  Findings findings;
  std::vector<ServicePort> ports;
  if (const kube::Service* service = FindProxied(cluster, name)) {
    ports = PlanService(*service, cluster.SlicesOf(name), facts, claims, findings);
  }
  Merge(name, std::move(ports), delta.changes);
  Say(name, std::move(findings), delta.problems);
}

// Puts `ports` (sorted) in the place of what the plan has of this service. What is equal stays the same
// object.
void Planner::State::Merge(const ObjectName& name, std::vector<ServicePort> ports,
                           std::vector<Change>& changes) {
  auto count = [&](const ServicePort& port, bool add) {
    NoLocalEndpoints one = NoLocalEndpointsOf(port);
    NoLocalEndpoints& all = NoLocal(port.key.family);
    all.internal = add ? all.internal + one.internal : all.internal - one.internal;
    all.external = add ? all.external + one.external : all.external - one.external;
  };
  auto next = ports.begin();
  auto it = plan.lower_bound({name, "", Protocol{}, Family{}});
  while (true) {
    bool has_old = it != plan.end() && it->first.service == name;
    bool has_new = next != ports.end();
    if (!has_old && !has_new) return;
    if (has_old && (!has_new || it->first < next->key)) {
      count(*it->second, false);
      changes.push_back({it->first, nullptr});
      it = plan.erase(it);
      continue;
    }
    bool replaces = has_old && it->first == next->key;
    if (!replaces) it = plan.emplace_hint(it, next->key, nullptr);
    if (!replaces || *it->second != *next) {
      if (replaces) count(*it->second, false);
      count(*next, true);
      it->second = std::make_shared<const ServicePort>(std::move(*next));
      changes.push_back({it->first, it->second});
    }
    ++next;
    ++it;
  }
}

void Planner::State::Say(const ObjectName& name, Findings findings, std::vector<kube::Problem>& problems) {
  auto before = said.find(name);
  if (findings.empty()) {
    if (before != said.end()) said.erase(before);
    return;
  }
  std::set<std::string> lasting;
  for (Finding& finding : findings) {
    bool known = before != said.end() && before->second.contains(finding.id);
    if (!lasting.insert(std::move(finding.id)).second || known) continue;
    problems.push_back({.source = "plan", .message = std::move(finding.message)});
  }
  said[name] = std::move(lasting);
}

Planner::Planner(NodeFacts facts) : state_(std::make_unique<State>()) {
  state_->facts = std::move(facts);
}

Planner::~Planner() = default;

Delta Planner::Update(const model::Cluster& cluster, std::span<const ObjectName> services) {
  std::vector<ObjectName> work(services.begin(), services.end());
  for (const ObjectName& name : services) {
    const kube::Service* service = FindProxied(cluster, name);
    if (service != nullptr) {
      state_->claims.Set(name, service->creation_time_s, ClaimsOf(*service, state_->facts));
    } else {
      state_->claims.Set(name, 0, {});
    }
  }
  std::ranges::move(state_->claims.Settle(), std::back_inserter(work));
  std::sort(work.begin(), work.end());
  work.erase(std::unique(work.begin(), work.end()), work.end());

  Delta delta;
  for (const ObjectName& name : work) state_->PlanAgain(cluster, name, delta);
  return delta;
}

bool Planner::SetFacts(NodeFacts facts) {
  NodeFacts before = std::exchange(state_->facts, std::move(facts));
  const NodeFacts& now = state_->facts;
  // These decide about the node as a whole only (PlanNode).
  before.nodeport_cidrs = now.nodeport_cidrs;
  before.nodeport_primary = now.nodeport_primary;
  before.primary_addresses = now.primary_addresses;
  before.localhost_nodeports = now.localhost_nodeports;
  before.localhost_nodeports_v6 = now.localhost_nodeports_v6;
  return before != now;
}

const NodeFacts& Planner::facts() const {
  return state_->facts;
}

NodePlan Planner::PlanNode(const model::Cluster& cluster) const {
  return plan::PlanNode(state_->facts, cluster.ServiceCidrs());
}

const Plan& Planner::plan() const {
  return state_->plan;
}

NoLocalEndpoints Planner::no_local_endpoints(Family family) const {
  return state_->NoLocal(family);
}

}  // namespace fairlead::plan
