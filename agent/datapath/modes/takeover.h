// SPDX-License-Identifier: Apache-2.0
// A datapath that ends what was before it: once it serves, and the sources know everything there is, what
// other modes and kube-proxy left on this node goes (Prune).
//
// kube-proxy may still run here and write its rules again. That is looked for once, well after its sync
// period; rules that are back stay, with a word in the log, since two who undo each other's work help nobody.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"

namespace fairlead::modes {

// What may stand on the node beside the datapath in use, as functions, so that tests have their own.
struct Leftovers {
  struct Other {
    std::string name;                     // "nftables"
    std::function<Result<bool>()> clean;  // false: there was nothing
  };
  // Those that are not in use; asked when they are about to go.
  std::function<std::vector<Other>()> others;
  // A line for each thing of kube-proxy's.
  std::function<Result<std::vector<std::string>>()> find_kube_proxy;
  std::function<Result<void>()> remove_kube_proxy;
  // Before anything goes, and every `established_period` after that; empty where the datapath in use keeps
  // nf_conntrack's translations alive by itself.
  std::function<Result<void>()> keep_established;
  std::function<std::chrono::steady_clock::time_point()> now = &std::chrono::steady_clock::now;
};

class Takeover : public datapath::Datapath {
 public:
  using Clock = std::chrono::steady_clock;

  Takeover(std::unique_ptr<datapath::Datapath> inner, Leftovers leftovers, bool remove_kube_proxy);

  Result<void> Prune() override;
  std::optional<Clock::time_point> Reconcile() override;

  std::string_view Name() const override { return inner_->Name(); }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override {
    return inner_->Apply(changes);
  }
  Result<void> ApplyNode(const plan::NodePlan& node) override { return inner_->ApplyNode(node); }
  Result<void> Commit() override { return inner_->Commit(); }
  int event_fd() const override { return inner_->event_fd(); }
  std::vector<datapath::Refusal> Refused() const override { return inner_->Refused(); }
  std::vector<datapath::Usage> Usages() const override { return inner_->Usages(); }
  std::vector<datapath::VerdictCount> Verdicts() const override { return inner_->Verdicts(); }
  uint64_t BytesWritten() const override { return inner_->BytesWritten(); }
  datapath::FlowReadings Flows() const override { return inner_->Flows(); }
  datapath::RuleReadings Rules() const override;
  std::vector<datapath::FlowPass> TakeFlowPasses() override { return inner_->TakeFlowPasses(); }
  std::vector<datapath::Share> Shares() const override { return inner_->Shares(); }

 private:
  Result<void> EndOthers();
  Result<void> EndKubeProxy();
  void KeepEstablished();
  void LookAgain();

  std::unique_ptr<datapath::Datapath> inner_;
  Leftovers leftovers_;
  bool remove_kube_proxy_;
  std::optional<Clock::time_point> keep_at_;        // established connections are due
  std::optional<Clock::time_point> look_again_at_;  // whether kube-proxy's rules are back
  std::string last_error_;                          // of keep_established, as logged
};

}  // namespace fairlead::modes
