// SPDX-License-Identifier: Apache-2.0
// A cluster and the plan of its node n1, kept together: give objects, look at the plan.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/model/cluster.h"
#include "agent/plan/planner.h"
#include "test/support/objects.h"

namespace fairlead::test {

// n1 in zone a, with its address of both families.
plan::NodeFacts Facts();

class World {
 public:
  explicit World(plan::NodeFacts facts = Facts()) : planner(std::move(facts)) {}

  plan::Delta Apply(std::vector<kube::Object> objects);  // upserts, then plans what became dirty
  plan::Delta Remove(kube::Kind kind, std::string_view name);
  plan::Delta PlanDirty();
  plan::Delta PlanAll();

  // By its key's text, "shop/cart:http/TCP IPv4"; a failure and an empty port if the plan has none.
  const plan::ServicePort& Port(std::string_view key) const;
  bool Has(std::string_view key) const;
  std::string Print() const;  // the whole plan

  model::Cluster cluster{"n1"};
  plan::Planner planner;
};

// "10.180.1.11:8080 10.180.2.11:8080"
std::string Text(const std::vector<plan::Backend>& backends);
// "ClusterIP 172.30.0.10:80, NodePort 30001"
std::string Text(const std::vector<plan::Frontend>& frontends);
// One line a change: "+key" or "-key".
std::string Text(const std::vector<plan::Change>& changes);
// One line a problem.
std::string Text(const std::vector<kube::Problem>& problems);
std::string Text(const std::vector<Cidr>& ranges);

}  // namespace fairlead::test
