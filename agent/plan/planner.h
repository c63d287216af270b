// SPDX-License-Identifier: Apache-2.0
// (model, node) → plan, kept up to date service by service. Deterministic: the same objects give the same
// plan in whatever order they came. O(changed services) per call. One thread at a time.
//
// Two services that claim one address:port/protocol: the one whose cluster IP it is, then the older
// (creationTimestamp), then the lesser namespace/name, has it; the other is served on its remaining addresses
// and the conflict is a Problem. When the winner lets go, the next in that order takes over in the same call.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "agent/model/cluster.h"
#include "agent/plan/health.h"
#include "agent/plan/plan.h"

namespace fairlead::plan {

struct Delta {
  std::vector<Change> changes;          // sorted by key; only service ports that really differ
  std::vector<kube::Problem> problems;  // new ones only: each is said once while it lasts
};

class Planner {
 public:
  explicit Planner(NodeFacts facts);
  ~Planner();

  // Plans the given services again (absent ones are removed) and whatever else their claims touch.
  Delta Update(const model::Cluster& cluster, std::span<const ObjectName> services);

  // New facts about the node; true if the services must be planned again (all of them).
  bool SetFacts(NodeFacts facts);
  const NodeFacts& facts() const;
  NodePlan PlanNode(const model::Cluster& cluster) const;

  // The whole present plan, for a full resync and for metrics.
  const Plan& plan() const;
  // Of the whole plan; kept up to date with it.
  NoLocalEndpoints no_local_endpoints(Family family) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fairlead::plan
