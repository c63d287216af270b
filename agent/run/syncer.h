// SPDX-License-Identifier: Apache-2.0
// The loop: updates into the model, what they touched into the plan, what that changed into the datapath. One
// thread does all of it; an event takes effect at once when the node is quiet, and what comes meanwhile is
// the next batch.
//
// Nothing is written before every kind of object has been listed once, and nothing of an earlier run is
// removed before the whole plan has been applied. A change that fails stays pending and is tried again with
// backoff; the others are not held up by it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/model/cluster.h"
#include "agent/options.h"
#include "agent/plan/planner.h"
#include "agent/run/health.h"
#include "agent/run/health_checks.h"
#include "agent/run/inbox.h"
#include "agent/run/metrics.h"
#include "agent/run/node_addresses.h"

namespace fairlead::run {

class Syncer {
 public:
  // All references outlive the syncer. `facts` is what is known of the node before its object and addresses
  // are.
  Syncer(const Options& options, plan::NodeFacts facts, Inbox& inbox, NodeAddresses& addresses,
         datapath::Datapath& datapath, Health& health, HealthChecks& health_checks, Metrics& metrics);

  // Works until `stop_fd` is readable. `on_resync` is called every syncPeriod, on this thread.
  void Run(int stop_fd, const std::function<void()>& on_resync);

  // Whether the first complete plan has been given to the kernel. Any thread.
  bool committed() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Batch {
    std::vector<Clock::time_point> received;  // of updates that carry a time
    std::vector<int64_t> trigger_times_ns;    // of slices, by family below
    std::vector<Family> trigger_families;
    size_t services = 0;
    size_t slices = 0;
  };
  // A change the datapath did not take.
  struct Pending {
    plan::Change change;
    std::string message;  // as logged
    ErrorKind kind = ErrorKind::kInternal;
  };

  // Service ports whose last change is not in the kernel: it is tried again here, or by the datapath.
  struct Waiting {
    size_t service_ports = 0;
    bool late[2] = {};  // of IPv4, IPv6: some that waits for nobody but us
  };

  void Take(Batch& batch);
  void SyncAddresses();
  bool SyncNode();
  void Sync(Batch batch, bool full);
  void AddPending(std::vector<plan::Change>& changes);
  void ApplyChanges(std::vector<plan::Change> changes, bool retry);
  void ApplyNode();
  void TryAgainUnless(const Result<void>& outcome);
  void CommitOnce();
  void PruneOnce();
  void SyncHealthChecks(bool again);
  void Observe(const Batch& batch, Clock::time_point began, bool full);
  Waiting CountWaiting() const;
  void JudgeHealth();
  void ObserveRefusals();
  void Publish();
  void WarnOfFillLevels();
  int TimeoutMs(Clock::time_point now) const;

  const Options& options_;
  Inbox& inbox_;
  NodeAddresses& addresses_;
  datapath::Datapath& datapath_;
  Health& health_;
  HealthChecks& health_checks_;
  Metrics& metrics_;
  model::Cluster cluster_;
  plan::Planner planner_;

  bool planned_ = false;  // a first complete plan exists
  bool committed_ = false;
  bool pruned_ = false;
  bool replan_ = false;  // facts about the node changed: every service is planned again
  std::optional<Clock::time_point> reconcile_at_;  // the datapath asked to be called again
  std::optional<Clock::time_point> again_at_;      // the node's part, commit or prune is due
  std::string last_error_;                         // of those, as logged
  bool node_pending_ = false;
  std::vector<Address> node_addresses_;
  std::map<plan::ServicePortKey, Pending> pending_;
  std::set<kube::ObjectName> health_checks_due_;  // services planned anew since they were last told
  bool refused_ = false;                          // the datapath had refusals when last asked
  uint64_t write_errors_ = 0;
  Clock::time_point retry_at_{};
  std::chrono::milliseconds retry_after_;
  Clock::time_point resync_at_{};
  Clock::time_point quiet_until_{};  // minSyncPeriod after the last pass
  Clock::time_point progress_at_{};
  std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
  std::map<std::string, bool, std::less<>> warned_full_;

  mutable std::mutex mutex_;  // guards what follows, for readers of metrics
  Readings readings_;
  bool committed_seen_ = false;
};

}  // namespace fairlead::run
