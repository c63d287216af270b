// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/nftables.h"

#include <linux/netfilter.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "agent/base/exec.h"
#include "agent/datapath/netfilter/nft_table.h"
#include "agent/datapath/netfilter/udp_flows.h"
#include "agent/datapath/nftables/kernel.h"
#include "agent/datapath/nftables/script.h"
#include "agent/datapath/nftables/writer.h"

namespace fairlead::nftables {

namespace {

// The first with everything the scripts say: typeof in maps, concatenated values, rejects before routing.
constexpr int kNeeded[] = {1, 0, 1};

class NftablesDatapath : public datapath::Datapath {
 public:
  NftablesDatapath(std::unique_ptr<Kernel> kernel, std::unique_ptr<netfilter::UdpFlows> flows,
                   const netfilter::NetfilterOptions& options)
      : kernel_(std::move(kernel)), flows_(std::move(flows)), writer_(*kernel_, options) {}

  std::string_view Name() const override { return "nftables"; }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override;
  Result<void> ApplyNode(const plan::NodePlan& node) override;
  Result<void> Commit() override;
  Result<void> Prune() override;
  std::optional<std::chrono::steady_clock::time_point> Reconcile() override;
  int event_fd() const override { return kernel_->event_fd(); }
  std::vector<datapath::Refusal> Refused() const override { return writer_.Refused(); }
  std::vector<datapath::Usage> Usages() const override;
  std::vector<datapath::VerdictCount> Verdicts() const override { return {}; }
  uint64_t BytesWritten() const override { return kernel_->sent(); }
  datapath::RuleReadings Rules() const override;
  std::vector<datapath::FlowPass> TakeFlowPasses() override { return std::exchange(passes_, {}); }

 private:
  void Publish();

  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<netfilter::UdpFlows> flows_;
  Writer writer_;
  std::vector<datapath::FlowPass> passes_;
  uint64_t flows_deleted_[2] = {};

  mutable std::mutex mutex_;  // guards readings_
  datapath::RuleReadings readings_;
};

std::vector<datapath::Failure> NftablesDatapath::Apply(std::span<const plan::Change> changes) {
  auto failures = writer_.Apply(changes);
  std::vector<plan::Change> written;
  for (const plan::Change& change : changes) {
    const bool failed = std::ranges::any_of(
        failures, [&](const datapath::Failure& failure) { return failure.change.key == change.key; });
    if (!failed) written.push_back(change);
  }
  flows_->Note(written);
  Publish();
  return failures;
}

Result<void> NftablesDatapath::ApplyNode(const plan::NodePlan& node) {
  auto applied = writer_.ApplyNode(node);
  if (applied) flows_->SetNode(node);
  return applied;
}

Result<void> NftablesDatapath::Commit() {
  auto committed = writer_.Commit();
  Publish();
  return committed;
}

Result<void> NftablesDatapath::Prune() {
  return writer_.Prune();
}

std::optional<std::chrono::steady_clock::time_point> NftablesDatapath::Reconcile() {
  const auto now = std::chrono::steady_clock::now();
  auto next = writer_.CheckUp(now);
  if (writer_.committed()) {
    if (auto flows = flows_->Poll(now)) next = std::min(next, *flows);
  }
  for (const netfilter::UdpPass& pass : flows_->Take()) {
    passes_.push_back({pass.family, pass.seconds});
    flows_deleted_[pass.family == Family::kIpv6] += pass.deleted;
  }
  Publish();
  return next;
}

std::vector<datapath::Usage> NftablesDatapath::Usages() const {
  return {{"nftables_services", writer_.ports(), UINT32_MAX},
          {"nftables_backends", writer_.backends(), UINT32_MAX}};
}

void NftablesDatapath::Publish() {
  const Writer::Counts& counts = writer_.counts();
  datapath::RuleReadings readings;
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    const size_t i = family == Family::kIpv6;
    readings.tables.push_back({family, kTable, counts.rules, counts.written});
    readings.failures[i] = counts.failures;
    readings.partial_failures[i] = counts.partial_failures;
    readings.cleanup_failures[i] = counts.cleanup_failures;
    readings.flows_deleted[i] = flows_deleted_[i];
  }
  std::lock_guard lock(mutex_);
  readings_ = std::move(readings);
}

datapath::RuleReadings NftablesDatapath::Rules() const {
  std::lock_guard lock(mutex_);
  return readings_;
}

// "nftables v1.0.6 (Lester Gooch #5)" -> 1.0.6
Result<std::string> NftVersion() {
  auto said = ExecuteOrFail({.argv = {"nft", "--version"}, .input = {}});
  if (!said) return std::unexpected(said.error());
  int found[3] = {};
  if (std::sscanf(said->c_str(), "nftables v%d.%d.%d", &found[0], &found[1], &found[2]) < 2)
    return Fail(ErrorKind::kUnsupported, "nft --version: expected \"nftables vX.Y.Z\", found \"{}\"", *said);
  const std::string version = fmt::format("{}.{}.{}", found[0], found[1], found[2]);
  if (std::ranges::lexicographical_compare(found, kNeeded)) {
    return Fail(ErrorKind::kUnsupported, "nft is {}: expected {}.{}.{} or later", version, kNeeded[0],
                kNeeded[1], kNeeded[2]);
  }
  return version;
}

}  // namespace

// A table of another name, so that the one that may stand plays no part; all there is to be in ours is in it.
Result<std::string> Probe() {
  auto version = NftVersion();
  if (!version) return std::unexpected(version.error());
  std::string script = ProbeScript();
  auto checked = ExecuteOrFail({.argv = {"nft", "--check", "-f", "-"}, .input = script});
  if (!checked) {
    return Fail(ErrorKind::kUnsupported, "{}: this kernel or nft {} refuses a table of our kind",
                checked.error().message, *version);
  }
  return fmt::format("nft {}; a table of our kind is accepted", *version);
}

Result<std::unique_ptr<datapath::Datapath>> Open(const netfilter::NetfilterOptions& options) {
  auto kernel = OpenKernel();
  if (!kernel) return std::unexpected(std::move(kernel.error()).In("nftables"));
  auto flows = netfilter::UdpFlows::Open();
  if (!flows) return std::unexpected(std::move(flows.error()).In("nftables"));
  return std::make_unique<NftablesDatapath>(std::move(*kernel), std::move(*flows), options);
}

// Not by nft: a table that it cannot read must not go on serving with the backends of then.
Result<bool> CleanUp() {
  return netfilter::RemoveNftTable({NFPROTO_INET, std::string(kTable)});
}

}  // namespace fairlead::nftables
