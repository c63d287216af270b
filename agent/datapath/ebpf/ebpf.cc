// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/ebpf.h"

#include <algorithm>

#include "agent/base/log.h"

namespace fairlead::ebpf {

namespace {

// Nothing waits for retired memory but its reuse: a look every so often keeps grace periods few under churn.
constexpr std::chrono::milliseconds kReclaimPause{100};

}  // namespace

Result<std::unique_ptr<EbpfDatapath>> EbpfDatapath::Open(const KernelOptions& options,
                                                         std::vector<std::string> netns_dirs) {
  std::unique_ptr<EbpfDatapath> self(new EbpfDatapath);
  auto kernel = Kernel::Open(options);
  if (!kernel) return std::unexpected(kernel.error());
  self->kernel_ = std::move(*kernel);
  auto grace = KernelGrace::Create();
  if (!grace) return std::unexpected(grace.error());
  self->grace_ = std::move(*grace);
  self->reclaimer_ = std::make_unique<Reclaimer>(*self->grace_);
  self->writer_ = std::make_unique<Writer>(self->kernel_->tables(), *self->reclaimer_);
  self->sweeper_ = std::make_unique<Sweeper>(*self->kernel_, std::move(netns_dirs));

  if (self->kernel_->adopted()) {
    self->grace_->Wait();  // readers of what the earlier agent retired last
    auto findings = self->writer_->Restore();
    if (!findings) return std::unexpected(findings.error());
    for (const std::string& finding : *findings)
      spdlog::warn("restart: {}; the entry is written anew", finding);
    spdlog::info("restart: {} frontends of {} service ports go on", self->Usages()[0].used,
                 self->Usages()[4].used);
  } else if (const Tables* old = self->kernel_->predecessor()) {
    if (auto inherited = self->writer_->InheritIds(*old); !inherited)
      return std::unexpected(inherited.error());
  }
  return self;
}

EbpfDatapath::~EbpfDatapath() = default;

std::vector<datapath::Failure> EbpfDatapath::Apply(std::span<const plan::Change> changes) {
  bool udp = std::any_of(changes.begin(), changes.end(), [](const plan::Change& change) {
    return change.key.protocol == plan::Protocol::kUdp;
  });
  if (udp) sweeper_->Expect();
  // SCTP has no socket hook: it is not translated here.
  std::vector<plan::Change> ours;
  for (const plan::Change& change : changes) {
    if (change.key.protocol != plan::Protocol::kSctp) ours.push_back(change);
  }
  return writer_->Apply(ours);
}

Result<void> EbpfDatapath::ApplyNode(const plan::NodePlan& node) {
  return writer_->ApplyNode(node);
}

Result<void> EbpfDatapath::Commit() {
  if (auto committed = kernel_->Commit(); !committed) return committed;
  committed_ = true;
  sweeper_->Expect();  // what changed while no agent ran
  return {};
}

Result<void> EbpfDatapath::Prune() {
  sweeper_->Expect();
  return writer_->Prune();
}

std::optional<std::chrono::steady_clock::time_point> EbpfDatapath::Reconcile() {
  const auto now = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> next;
  if (reclaimer_->Poll()) next = now + kReclaimPause;
  if (committed_) {
    auto sweep = sweeper_->Poll(now);
    next = next ? std::min(*next, sweep) : sweep;
  }
  return next;
}

std::vector<datapath::Usage> EbpfDatapath::Usages() const {
  return writer_->Usages();
}

std::vector<datapath::VerdictCount> EbpfDatapath::Verdicts() const {
  return kernel_->Verdicts();
}

uint64_t EbpfDatapath::BytesWritten() const {
  return writer_->store().bytes();
}

}  // namespace fairlead::ebpf
