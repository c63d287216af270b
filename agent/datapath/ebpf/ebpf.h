// SPDX-License-Identifier: Apache-2.0
// The eBPF datapath: tables through the writer, programs on the cgroup's socket hooks and on devices.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/ebpf/clock.h"
#include "agent/datapath/ebpf/collector.h"
#include "agent/datapath/ebpf/kernel.h"
#include "agent/datapath/ebpf/kernel_grace.h"
#include "agent/datapath/ebpf/nat_ports.h"
#include "agent/datapath/ebpf/packet_path.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/sweep.h"
#include "agent/datapath/ebpf/writer.h"

namespace fairlead::ebpf {

struct EbpfOptions {
  KernelOptions kernel;
  DeviceOptions devices;
  std::vector<std::string> netns_dirs;
  std::string nodeport_range;
  NatPorts::ReadHost read_host = ReadHostPorts;
  bool earlier_serves = false;  // another proxy: what begins is his until programs are on every device

  static EbpfOptions From(const Options& options);
};

class EbpfDatapath : public datapath::Datapath {
 public:
  // Loads the programs and takes over what is pinned; attaches nothing yet (Commit).
  static Result<std::unique_ptr<EbpfDatapath>> Open(const EbpfOptions& options);
  ~EbpfDatapath() override;

  std::string_view Name() const override { return "ebpf"; }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override;
  Result<void> ApplyNode(const plan::NodePlan& node) override;
  Result<void> Commit() override;
  Result<void> Prune() override;
  std::optional<std::chrono::steady_clock::time_point> Reconcile() override;
  int event_fd() const override { return path_->fd(); }
  std::vector<datapath::Usage> Usages() const override;
  std::vector<datapath::VerdictCount> Verdicts() const override;
  uint64_t BytesWritten() const override;
  datapath::FlowReadings Flows() const override;

  // Whether connections of an earlier proxy are left to the stack, and that none of them is left. Not taken
  // back: whoever translates beside us later begins connections that are none of ours.
  bool leaves_established() const { return leaves_established_; }
  void EndLeaving();

  uint64_t sockets_closed() const { return sweeper_->closed(); }
  const Kernel& kernel() const { return *kernel_; }

 private:
  EbpfDatapath() = default;
  Result<void> KeepFlows(const EbpfOptions& options);
  Result<void> TakeOver();

  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<KernelGrace> grace_;
  std::unique_ptr<Reclaimer> reclaimer_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Sweeper> sweeper_;
  std::unique_ptr<PacketPath> path_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<Collector> collector_;
  std::unique_ptr<NatPorts> nat_ports_;
  bool leaves_established_ = false;
  bool committed_ = false;
};

}  // namespace fairlead::ebpf
