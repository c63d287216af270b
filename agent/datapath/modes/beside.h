// SPDX-License-Identifier: Apache-2.0
// Two datapaths as one: SCTP goes to a second one, everything else to the first. The second is opened with
// the first SCTP service port and cleaned away with the last.
//
// What fails in the second holds nobody up but SCTP: its changes stay pending with the caller, what else it
// owes (the node's part, Commit, Prune) is tried again from Reconcile and said once. Until its Commit
// succeeds, every SCTP service port is one of Refused.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "agent/base/fd.h"
#include "agent/datapath/datapath.h"

namespace fairlead::modes {

class Beside : public datapath::Datapath {
 public:
  using Clock = std::chrono::steady_clock;
  // How the second one comes and goes.
  struct Second {
    std::function<Result<std::unique_ptr<datapath::Datapath>>()> open;
    std::function<Result<void>(std::string_view name)> clean_up;  // after the datapath of that name has ended
    std::function<Clock::time_point()> now = &Clock::now;
  };

  static Result<std::unique_ptr<Beside>> Create(std::unique_ptr<datapath::Datapath> first, Second second);

  std::string_view Name() const override { return first_->Name(); }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override;
  Result<void> ApplyNode(const plan::NodePlan& node) override;
  Result<void> Commit() override;
  Result<void> Prune() override;
  std::optional<Clock::time_point> Reconcile() override;
  int event_fd() const override { return events_.Get(); }
  std::vector<datapath::Refusal> Refused() const override;
  std::vector<datapath::Usage> Usages() const override;
  std::vector<datapath::VerdictCount> Verdicts() const override { return first_->Verdicts(); }
  uint64_t BytesWritten() const override;
  datapath::FlowReadings Flows() const override { return first_->Flows(); }
  datapath::RuleReadings Rules() const override;
  std::vector<datapath::FlowPass> TakeFlowPasses() override;
  std::vector<datapath::Share> Shares() const override;

  // The second one's name, empty while there is none.
  std::string_view SecondName() const { return second_ ? second_->Name() : std::string_view(); }

 private:
  Beside(std::unique_ptr<datapath::Datapath> first, Second how);
  std::vector<datapath::Failure> ApplySecond(std::vector<plan::Change> changes);
  Result<void> OpenSecond();
  void CloseSecond();
  void Watch(const datapath::Datapath& datapath);
  bool Owes() const { return node_due_ || commit_due_ || prune_due_ || clean_up_due_; }
  void Settle();
  Result<void> TrySettle();
  std::shared_ptr<datapath::Datapath> SharedSecond() const;

  std::unique_ptr<datapath::Datapath> first_;
  Second how_;
  Fd events_;  // epoll over both

  mutable std::mutex mutex_;  // guards the pointer second_ for readers of metrics
  std::shared_ptr<datapath::Datapath> second_;
  std::map<plan::ServicePortKey, plan::Change> sctp_;  // what the second one should serve
  std::optional<plan::NodePlan> node_;
  bool committed_ = false, pruned_ = false;                         // the caller has asked for it
  bool node_due_ = false, commit_due_ = false, prune_due_ = false;  // the second one owes it
  bool clean_up_due_ = false;                                       // one that was closed has left something
  std::string closed_;  // name of the second one that was closed last
  Clock::time_point again_at_{};
  Error last_error_;           // of what is owed, as logged
  uint64_t bytes_before_ = 0;  // written by second ones that have ended
};

}  // namespace fairlead::modes
