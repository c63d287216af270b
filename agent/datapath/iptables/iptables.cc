// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/iptables.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "agent/base/log.h"
#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/iptables/clean_up.h"
#include "agent/datapath/iptables/localnet.h"
#include "agent/datapath/iptables/tables.h"
#include "agent/datapath/netfilter/udp_flows.h"

namespace fairlead::iptables {

namespace {

using Clock = std::chrono::steady_clock;
using datapath::Failure;
using netfilter::NetfilterOptions;
using netfilter::UdpFlows;
using plan::Change;

constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};

size_t IndexOf(Family family) {
  return family == Family::kIpv4 ? 0 : 1;
}

class IptablesDatapath : public datapath::Datapath {
 public:
  IptablesDatapath(const NetfilterOptions& options, const Backend& backend, std::unique_ptr<UdpFlows> flows)
      : options_(options), backend_(backend), flows_(std::move(flows)) {}

  // A family whose tables cannot be read is none of ours; what is to be served by it fails and says so.
  void Add(Family family, std::unique_ptr<Tables> tables) { tables_[IndexOf(family)] = std::move(tables); }
  void Lack(Family family, Error error) { lacking_[IndexOf(family)] = std::move(error); }

  std::string_view Name() const override { return "iptables"; }
  std::vector<Failure> Apply(std::span<const Change> changes) override;
  Result<void> ApplyNode(const plan::NodePlan& node) override;
  Result<void> Commit() override;
  Result<void> Prune() override;
  std::optional<Clock::time_point> Reconcile() override;

  std::vector<datapath::Refusal> Refused() const override;
  std::vector<datapath::Usage> Usages() const override { return {}; }
  std::vector<datapath::VerdictCount> Verdicts() const override { return {}; }
  uint64_t BytesWritten() const override;
  datapath::RuleReadings Rules() const override;
  std::vector<datapath::FlowPass> TakeFlowPasses() override { return std::exchange(passes_, {}); }

 private:
  std::vector<Failure> ApplyFamily(Family family, std::vector<Change> changes);
  Result<void> OfEach(Result<void> (Tables::*what)());
  void LeaveLocalnet();
  Result<void> SetLocalnet();
  void Publish();
  void ReadCounters();

  NetfilterOptions options_;
  Backend backend_;
  std::unique_ptr<UdpFlows> flows_;
  std::array<std::unique_ptr<Tables>, 2> tables_;  // null: not served
  std::array<Error, 2> lacking_;
  bool committed_ = false;
  bool localhost_nodeports_ = false;
  bool localnet_noted_ = false;  // route_localnet is our doing, says a run before
  std::vector<Change> unnoted_;  // before Commit
  std::vector<datapath::FlowPass> passes_;
  Clock::time_point counters_at_{};

  mutable std::mutex mutex_;
  datapath::RuleReadings readings_;  // guarded by mutex_
};

std::vector<Failure> IptablesDatapath::Apply(std::span<const Change> changes) {
  std::vector<Failure> failures;
  for (Family family : kFamilies) {
    std::vector<Change> of_family;
    std::ranges::copy_if(changes, std::back_inserter(of_family), [&](const Change& change) {
      const bool ours =
          options_.serves == netfilter::Serves::kAll || change.key.protocol == plan::Protocol::kSctp;
      return ours && change.key.family == family;
    });
    std::ranges::move(ApplyFamily(family, of_family), std::back_inserter(failures));
  }
  Publish();
  return failures;
}

std::vector<Failure> IptablesDatapath::ApplyFamily(Family family, std::vector<Change> changes) {
  std::vector<Failure> failures;
  Tables* tables = tables_[IndexOf(family)].get();
  if (tables == nullptr) {
    for (const Change& change : changes) {
      if (!change.now) continue;
      failures.push_back({change, Error(lacking_[IndexOf(family)]).In(change.key.ToString())});
    }
    return failures;
  }
  failures = tables->Apply(changes);
  std::set<plan::ServicePortKey> failed;
  for (const Failure& failure : failures) failed.insert(failure.change.key);
  std::erase_if(changes, [&](const Change& change) { return failed.contains(change.key); });
  if (committed_) {
    flows_->Note(changes);
  } else {
    std::ranges::move(changes, std::back_inserter(unnoted_));
  }
  return failures;
}

Result<void> IptablesDatapath::OfEach(Result<void> (Tables::*what)()) {
  Result<void> first;
  for (auto& tables : tables_) {
    if (!tables) continue;
    auto done = (tables.get()->*what)();
    if (!done && first) first = std::move(done);
  }
  Publish();
  return first;
}

Result<void> IptablesDatapath::ApplyNode(const plan::NodePlan& node) {
  Result<void> first;
  for (auto& tables : tables_) {
    if (!tables) continue;
    auto done = tables->ApplyNode(node);
    if (!done && first) first = std::move(done);
  }
  flows_->SetNode(node);
  localhost_nodeports_ = node.loopback_nodeports_v4;
  Publish();
  return first;
}

Result<void> IptablesDatapath::Commit() {
  LeaveLocalnet();
  auto done = OfEach(&Tables::Commit);
  if (!done) return done;
  committed_ = true;
  if (auto set = SetLocalnet(); !set) {
    spdlog::warn("{}{}", set.error().message,
                 localhost_nodeports_ ? "; NodePorts do not answer at 127.0.0.1" : "");
  }
  flows_->Note(std::exchange(unnoted_, {}));
  return {};
}

// What a run before let in to 127.0.0.0/8 is shut out while its guard still stands; else the guard stays.
void IptablesDatapath::LeaveLocalnet() {
  Tables* tables = tables_[IndexOf(Family::kIpv4)].get();
  if (tables == nullptr) return;
  localnet_noted_ = std::ranges::any_of(
      InstalledBackends(Execute), [](const Backend& backend) { return HasLocalnetNote(Execute, backend); });
  if (localhost_nodeports_ || !localnet_noted_) return;
  if (auto off = WriteRouteLocalnet(false); !off) {
    spdlog::warn("{}; 127.0.0.0/8 stays guarded", off.error().message);
    tables->KeepGuard();
    return;
  }
  localnet_noted_ = false;
}

// The guard of 127.0.0.0/8 stands by now. A note that stands in the other backend goes from there with Prune.
Result<void> IptablesDatapath::SetLocalnet() {
  Tables* tables = tables_[IndexOf(Family::kIpv4)].get();
  if (tables == nullptr) return {};
  if (!localhost_nodeports_) return tables->SetNote(kLocalnetNote, localnet_noted_);
  auto on = ReadRouteLocalnet();
  if (!on) return std::unexpected(std::move(on.error()));
  if (*on && !localnet_noted_) return {};
  if (auto noted = tables->SetNote(kLocalnetNote, true); !noted) return noted;
  return *on ? Result<void>() : WriteRouteLocalnet(true);
}

// An earlier run may have found the rules of others elsewhere, and so its place.
Result<void> IptablesDatapath::Prune() {
  auto pruned = OfEach(&Tables::Prune);
  for (const Backend& other : InstalledBackends(Execute)) {
    if (other.kind == backend_.kind) continue;
    auto removed = RemoveFrom(other, false);
    if (removed && *removed) {
      spdlog::info("rules of an earlier run are gone from iptables ({})", other.Name());
    }
    if (!removed && pruned) pruned = std::unexpected(std::move(removed.error()));
  }
  return pruned;
}

std::optional<Clock::time_point> IptablesDatapath::Reconcile() {
  const auto now = Clock::now();
  std::optional<Clock::time_point> next = flows_->Poll(now);
  for (const netfilter::UdpPass& pass : flows_->Take()) {
    passes_.push_back({pass.family, pass.seconds});
    std::lock_guard lock(mutex_);
    readings_.flows_deleted[IndexOf(pass.family)] += pass.deleted;
  }
  for (auto& tables : tables_) {
    auto at = tables ? tables->Reconcile(now) : std::nullopt;
    if (at) next = next ? std::min(*next, *at) : *at;
  }
  if (committed_ && now >= counters_at_) {
    counters_at_ = now + options_.sync_period;
    ReadCounters();
  }
  Publish();
  return next;
}

// --- readings

std::vector<datapath::Refusal> IptablesDatapath::Refused() const {
  std::vector<datapath::Refusal> refusals;
  for (const auto& tables : tables_) {
    if (tables) std::ranges::move(tables->Refused(), std::back_inserter(refusals));
  }
  return refusals;
}

uint64_t IptablesDatapath::BytesWritten() const {
  uint64_t bytes = 0;
  for (const auto& tables : tables_) bytes += tables ? tables->counts().bytes : 0;
  return bytes;
}

void IptablesDatapath::Publish() {
  std::lock_guard lock(mutex_);
  readings_.tables.clear();
  for (Family family : kFamilies) {
    const auto at = IndexOf(family);
    if (!tables_[at]) continue;
    const TableCounts counts = tables_[at]->counts();
    for (Table table : kTables) {
      const auto which = static_cast<size_t>(table);
      readings_.tables.push_back({family, TableName(table), counts.rules[which], counts.written[which]});
    }
    readings_.failures[at] = counts.failures;
    readings_.partial_failures[at] = counts.partial_failures;
  }
}

// Chain by chain: iptables-nft-save reads the rules of all tables for those of one.
void IptablesDatapath::ReadCounters() {
  auto count = [this](std::string_view chain, std::string_view match) -> std::optional<uint64_t> {
    auto listed = ListCounted(Execute, backend_, Family::kIpv4, Table::kFilter, chain);
    return listed ? PacketsOf(*listed, match) : std::nullopt;
  };
  const auto invalid = options_.tcp_be_liberal ? std::nullopt : count(kForward, kInvalid);
  const auto localhost = localhost_nodeports_ ? count(kLocalhost, kViaLocalhost) : std::nullopt;
  std::lock_guard lock(mutex_);
  readings_.invalid_dropped = invalid;
  readings_.localhost_accepted = localhost;
}

datapath::RuleReadings IptablesDatapath::Rules() const {
  std::lock_guard lock(mutex_);
  return readings_;
}

// Null where it cannot be had: the comparison of rules finds what others do, later.
std::shared_ptr<Watch> OpenWatch(Backend::Kind kind, Family family) {
  auto fingerprint = OpenFingerprint(kind, family);
  if (fingerprint) return std::make_shared<Watch>(std::move(*fingerprint));
  spdlog::warn("{}; changes by others are found late", fingerprint.error().message);
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<datapath::Datapath>> Open(const NetfilterOptions& options) {
  auto backend = ChooseBackend(Execute);
  if (!backend) return std::unexpected(std::move(backend.error()).In("iptables mode"));
  auto flows = UdpFlows::Open();
  if (!flows) return std::unexpected(std::move(flows.error()).In("iptables mode"));
  auto made = std::make_unique<IptablesDatapath>(options, *backend, std::move(*flows));
  std::shared_ptr<Watch> watch;
  for (Family family : kFamilies) {
    auto saved = Save(Execute, *backend, family, Table::kNat);
    if (!saved && family == Family::kIpv4) {
      return std::unexpected(std::move(saved.error()).In("iptables mode"));
    }
    if (!saved) {
      spdlog::warn("iptables mode: {}; no {} Service is served", saved.error().message, FamilyName(family));
      made->Lack(family, std::move(saved.error()));
      continue;
    }
    if (!watch || backend->kind == Backend::Kind::kLegacy) watch = OpenWatch(backend->kind, family);
    made->Add(family, std::make_unique<Tables>(Execute, *backend, family, options, watch));
  }
  spdlog::info("iptables {} ({}): {}", backend->version, backend->Name(), backend->why);
  return made;
}

}  // namespace fairlead::iptables
