// SPDX-License-Identifier: Apache-2.0
// The Datapath over IPVS: keeps the ledger of what the plan asks for, and has it written.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/ipvs/ipvs.h"
#include "agent/datapath/ipvs/state.h"
#include "agent/datapath/netfilter/udp_flows.h"

namespace fairlead::ipvs {

class IpvsDatapath final : public datapath::Datapath {
 public:
  using Clock = std::chrono::steady_clock;

  struct Parts {
    std::unique_ptr<Kernel> kernel;
    std::unique_ptr<Device> device;
    RunTool run;
    std::unique_ptr<netfilter::UdpFlows> flows;
    std::function<Result<void>()> settings;  // of the kernel; called by Commit
    std::vector<Family> families;            // that this node has
    iptables::Backend rules{iptables::Backend::Kind::kNfTables, false, {}, {}};  // whose programs write
    std::function<Result<void>()> leave_others;  // removes our rules from the other one; called by Prune
  };
  // kInvalid: an excludeCIDRs that is no prefix.
  static Result<std::unique_ptr<IpvsDatapath>> Create(Parts parts, const IpvsDatapathOptions& options);

  std::string_view Name() const override { return "ipvs"; }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override;
  Result<void> ApplyNode(const plan::NodePlan& node) override;
  Result<void> Commit() override;
  Result<void> Prune() override;
  std::optional<Clock::time_point> Reconcile() override;
  std::vector<datapath::Refusal> Refused() const override;
  std::vector<datapath::Usage> Usages() const override { return {}; }
  std::vector<datapath::VerdictCount> Verdicts() const override { return {}; }
  uint64_t BytesWritten() const override { return 0; }
  datapath::RuleReadings Rules() const override;
  std::vector<datapath::FlowPass> TakeFlowPasses() override;

 private:
  IpvsDatapath(Parts parts, const IpvsDatapathOptions& options, const std::vector<Cidr>& exclude);

  Result<void> Validate(const plan::ServicePort& port);
  // Into the ledger alone; what stood there before, by change.
  std::vector<std::optional<Contribution>> Swap(std::span<const plan::Change> changes, Touched& touched);
  void Restore(std::span<const plan::Change> changes, std::vector<std::optional<Contribution>> before,
               Touched& touched);
  std::vector<datapath::Failure> Write(std::span<const plan::Change> changes);
  // Reads the kernel anew and writes every difference.
  Result<void> WriteAll();
  void SayRefused(const Refusals& refused, bool all);
  void Heal(Clock::time_point now);
  void Publish();

  Parts parts_;
  IpvsDatapathOptions options_;
  std::string scheduler_;
  Ledger ledger_;
  State state_;
  std::map<plan::ServicePortKey, std::shared_ptr<const plan::ServicePort>> nodeports_;  // that have one
  std::vector<Address> nodeport_addresses_;
  std::set<std::string> schedulers_;               // that the kernel has
  Touched owed_;                                   // by ApplyNode
  std::map<plan::ServicePortKey, Error> refused_;  // with the whole or the node's part; as logged
  bool committed_ = false;
  bool pruned_ = false;
  Clock::time_point heal_at_{};
  Clock::time_point sweep_at_{};
  std::string heal_error_;  // as logged
  uint64_t flows_deleted_[2] = {};

  mutable std::mutex mutex_;  // guards readings_
  datapath::RuleReadings readings_;
};

}  // namespace fairlead::ipvs
