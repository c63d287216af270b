// SPDX-License-Identifier: Apache-2.0
#include "agent/run/dry_run.h"

#include <poll.h>

#include "agent/base/log.h"
#include "agent/model/cluster.h"
#include "agent/plan/planner.h"
#include "agent/plan/print.h"
#include "agent/run/inbox.h"
#include "agent/run/node_addresses.h"

namespace fairlead::run {

namespace {

void Say(const std::vector<kube::Problem>& problems) {
  for (const kube::Problem& problem : problems) spdlog::warn("{}: {}", problem.source, problem.message);
}

}  // namespace

Result<std::string> PlanOnce(std::unique_ptr<kube::Source> source, plan::NodeFacts facts,
                             std::chrono::seconds deadline) {
  auto addresses = NodeAddresses::Open();
  auto listed = addresses ? addresses->List() : std::unexpected(addresses.error());
  if (!listed) return std::unexpected(listed.error());
  facts.addresses = std::move(*listed);

  Inbox inbox;
  model::Cluster cluster(facts.name);
  std::unique_ptr<kube::Source> running = std::move(source);  // ends before the inbox it fills
  running->Start(inbox);
  const auto until = std::chrono::steady_clock::now() + deadline;
  while (!cluster.Synced()) {
    if (std::chrono::steady_clock::now() >= until) {
      return Fail(ErrorKind::kUnavailable, "--dry-run: {} did not deliver everything within {} s",
                  running->Describe(), deadline.count());
    }
    pollfd news{inbox.fd(), POLLIN, 0};
    ::poll(&news, 1, 100);
    auto [updates, problems] = inbox.Take();
    Say(problems);
    for (kube::Update& update : updates) cluster.Apply(std::move(update));
  }
  if (const kube::Node* node = cluster.ThisNode()) {
    facts.zone = node->zone;
    facts.primary_addresses = node->internal_ips;
    facts.node_pod_cidrs = node->pod_cidrs;
  }
  plan::Planner planner(std::move(facts));
  Say(planner.Update(cluster, cluster.ServiceNames()).problems);
  std::string text = plan::Print(planner.PlanNode(cluster));
  for (const auto& [key, port] : planner.plan()) text += plan::Print(*port);
  return text;
}

}  // namespace fairlead::run
