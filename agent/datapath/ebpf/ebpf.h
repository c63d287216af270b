// SPDX-License-Identifier: Apache-2.0
// The eBPF datapath: tables through the writer, programs on the cgroup's socket hooks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/ebpf/kernel.h"
#include "agent/datapath/ebpf/kernel_grace.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/sweep.h"
#include "agent/datapath/ebpf/writer.h"

namespace fairlead::ebpf {

class EbpfDatapath : public datapath::Datapath {
 public:
  // Loads the programs and takes over what is pinned; attaches nothing yet (Commit).
  static Result<std::unique_ptr<EbpfDatapath>> Open(const KernelOptions& options,
                                                    std::vector<std::string> netns_dirs);
  ~EbpfDatapath() override;

  std::string_view Name() const override { return "ebpf"; }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override;
  Result<void> ApplyNode(const plan::NodePlan& node) override;
  Result<void> Commit() override;
  Result<void> Prune() override;
  std::optional<std::chrono::steady_clock::time_point> Reconcile() override;
  std::vector<datapath::Usage> Usages() const override;
  std::vector<datapath::VerdictCount> Verdicts() const override;
  uint64_t BytesWritten() const override;

  uint64_t sockets_closed() const { return sweeper_->closed(); }
  const Kernel& kernel() const { return *kernel_; }

 private:
  EbpfDatapath() = default;

  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<KernelGrace> grace_;
  std::unique_ptr<Reclaimer> reclaimer_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Sweeper> sweeper_;
  bool committed_ = false;
};

}  // namespace fairlead::ebpf
