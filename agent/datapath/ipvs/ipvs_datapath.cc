// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/ipvs_datapath.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/base/log.h"

namespace fairlead::ipvs {

namespace {

// Between looks at connections of what leaves.
constexpr std::chrono::seconds kSweep{2};

bool HasNodePort(const plan::ServicePort& port) {
  return std::ranges::any_of(port.frontends, [](const plan::Frontend& frontend) {
    return frontend.kind == plan::FrontendKind::kNodePort;
  });
}

}  // namespace

Result<std::unique_ptr<IpvsDatapath>> IpvsDatapath::Create(Parts parts, const IpvsDatapathOptions& options) {
  std::vector<Cidr> exclude;
  for (const std::string& text : options.ipvs.exclude_cidrs) {
    auto cidr = Cidr::Parse(text);
    if (!cidr) return std::unexpected(std::move(cidr.error()).In("ipvs.excludeCIDRs"));
    exclude.push_back(*cidr);
  }
  return std::unique_ptr<IpvsDatapath>(new IpvsDatapath(std::move(parts), options, exclude));
}

IpvsDatapath::IpvsDatapath(Parts parts, const IpvsDatapathOptions& options, const std::vector<Cidr>& exclude)
    : parts_(std::move(parts)),
      options_(options),
      scheduler_(options.ipvs.scheduler.empty() ? "rr" : options.ipvs.scheduler),
      state_(ledger_, *parts_.kernel, *parts_.device, parts_.run,
             {options.netfilter, exclude, parts_.families, parts_.rules}) {}

// --- changes

// What would be refused by the kernel, or by us, is a failure of its service alone, and at once.
Result<void> IpvsDatapath::Validate(const plan::ServicePort& port) {
  const std::string what = port.key.ToString();
  if (std::ranges::find(parts_.families, port.key.family) == parts_.families.end())
    return Fail(ErrorKind::kUnsupported, "{}: this node has no {}", what, FamilyName(port.key.family));
  const std::string& scheduler = port.scheduler.empty() ? scheduler_ : port.scheduler;
  if (schedulers_.contains(scheduler)) return {};
  if (auto tried = parts_.kernel->TryScheduler(scheduler); !tried)
    return std::unexpected(std::move(tried.error()).In(what));
  schedulers_.insert(scheduler);
  return {};
}

std::vector<std::optional<Contribution>> IpvsDatapath::Swap(std::span<const plan::Change> changes,
                                                            Touched& touched) {
  std::vector<std::optional<Contribution>> before;
  before.reserve(changes.size());
  // All go before any comes: an address may move from one to another.
  for (const plan::Change& change : changes) before.push_back(ledger_.Take(change.key, touched));
  for (const plan::Change& change : changes) {
    if (change.now) ledger_.Put(change.key, Render(*change.now, nodeport_addresses_, scheduler_), touched);
  }
  return before;
}

void IpvsDatapath::Restore(std::span<const plan::Change> changes,
                           std::vector<std::optional<Contribution>> before, Touched& touched) {
  for (const plan::Change& change : changes) ledger_.Take(change.key, touched);
  for (size_t i = 0; i < changes.size(); ++i) {
    if (before[i]) ledger_.Put(changes[i].key, std::move(*before[i]), touched);
  }
}

std::vector<datapath::Failure> IpvsDatapath::Write(std::span<const plan::Change> changes) {
  Touched touched;
  auto before = Swap(changes, touched);
  if (!committed_ || changes.empty()) return {};
  State::Outcome outcome = state_.Write(touched, false);
  if (outcome.ok()) return {};

  const auto blamed = ledger_.Blame(outcome.refused);
  std::vector<datapath::Failure> failures;
  std::vector<plan::Change> undone;
  std::vector<std::optional<Contribution>> stood;
  for (size_t i = 0; i < changes.size(); ++i) {
    std::optional<Error> error = outcome.error;
    if (const auto it = blamed.find(changes[i].key); it != blamed.end()) error = it->second;
    if (!error) continue;
    undone.push_back(changes[i]);
    stood.push_back(std::move(before[i]));
    failures.push_back({changes[i], std::move(*error).In(changes[i].key.ToString())});
  }
  Restore(undone, std::move(stood), touched);
  (void)state_.Write(touched, false);  // what does not succeed is tried by the next pass
  return failures;
}

std::vector<datapath::Failure> IpvsDatapath::Apply(std::span<const plan::Change> changes) {
  std::vector<datapath::Failure> failures;
  std::vector<plan::Change> sound;
  for (const plan::Change& change : changes) {
    auto valid = change.now ? Validate(*change.now) : Result<void>();
    if (valid) {
      sound.push_back(change);
    } else {
      failures.push_back({change, std::move(valid.error())});
    }
  }
  std::ranges::move(Write(sound), std::back_inserter(failures));
  std::set<plan::ServicePortKey> failed;
  for (const datapath::Failure& failure : failures) failed.insert(failure.change.key);
  std::erase_if(sound, [&](const plan::Change& change) { return failed.contains(change.key); });
  for (const plan::Change& change : sound) {
    refused_.erase(change.key);
    if (change.now && HasNodePort(*change.now)) {
      nodeports_[change.key] = change.now;
    } else {
      nodeports_.erase(change.key);
    }
  }
  if (parts_.flows) parts_.flows->Note(sound);
  Publish();
  return failures;
}

Result<void> IpvsDatapath::ApplyNode(const plan::NodePlan& node) {
  ledger_.SetNode(RenderNode(node), owed_);
  if (nodeport_addresses_ != node.nodeport_addresses) {
    nodeport_addresses_ = node.nodeport_addresses;
    std::vector<plan::Change> changes;
    for (const auto& [key, port] : nodeports_) changes.push_back({key, port});
    Swap(changes, owed_);
  }
  if (parts_.flows) parts_.flows->SetNode(node);
  if (!committed_) return {};
  if (auto loaded = state_.LoadAddresses(owed_); !loaded) return loaded;
  State::Outcome outcome = state_.Write(owed_, false);
  SayRefused(outcome.refused, false);
  if (outcome.error) return std::unexpected(std::move(*outcome.error));
  owed_ = {};
  return {};
}

// --- the whole

Result<void> IpvsDatapath::WriteAll() {
  if (auto loaded = state_.Load(); !loaded) return loaded;
  Touched touched;
  ledger_.TouchAll(touched);
  if (pruned_) state_.TouchStale(touched);
  State::Outcome outcome = state_.Write(touched, true);
  Publish();
  if (outcome.error) return std::unexpected(std::move(*outcome.error));
  SayRefused(outcome.refused, true);
  owed_ = {};
  return {};
}

// Each service once for the same reason. They are of single services, and left to the next pass.
void IpvsDatapath::SayRefused(const Refusals& refused, bool all) {
  std::map<plan::ServicePortKey, Error> said = std::exchange(refused_, {});
  for (const auto& [key, error] : ledger_.Blame(refused)) {
    const auto known = said.find(key);
    if (known == said.end() || known->second.message != error.message)
      spdlog::error("{}: {}; tried again every syncPeriod", key.ToString(), error.message);
    refused_.insert_or_assign(key, error);
  }
  if (!all) refused_.merge(said);
}

Result<void> IpvsDatapath::Commit() {
  if (parts_.settings) {
    if (auto set = parts_.settings(); !set) return set;
  }
  if (auto written = WriteAll(); !written) return written;
  committed_ = true;
  heal_at_ = Clock::now() + options_.netfilter.sync_period;
  return {};
}

Result<void> IpvsDatapath::Prune() {
  pruned_ = true;
  auto written = WriteAll();
  auto left = parts_.leave_others ? parts_.leave_others() : Result<void>();
  return written ? left : written;
}

void IpvsDatapath::Heal(Clock::time_point now) {
  heal_at_ = now + options_.netfilter.sync_period;
  const uint64_t before = state_.written();
  auto written = WriteAll();
  if (!written) {
    if (heal_error_ != written.error().message)
      spdlog::error("{}; trying again every syncPeriod", written.error().message);
    heal_error_ = std::move(written.error().message);
    return;
  }
  heal_error_.clear();
  if (const uint64_t put_right = state_.written() - before; put_right != 0)
    spdlog::warn(
        "ipvs: somebody changed what is ours; put right: {} servers, backends, elements, addresses "
        "and rules",
        put_right);
}

std::optional<IpvsDatapath::Clock::time_point> IpvsDatapath::Reconcile() {
  if (!committed_) return std::nullopt;
  const Clock::time_point now = Clock::now();
  if (now >= heal_at_) Heal(now);
  if (state_.Draining() && now >= sweep_at_) {
    const State::Outcome outcome = state_.Sweep();
    if (outcome.error) spdlog::warn("{}; trying again", outcome.error->message);
    sweep_at_ = now + kSweep;
  }
  Clock::time_point next = heal_at_;
  if (state_.Draining()) next = std::min(next, sweep_at_);
  if (parts_.flows) {
    if (const auto flows = parts_.flows->Poll(now)) next = std::min(next, *flows);
  }
  return next;
}

// --- what is measured

std::vector<datapath::Refusal> IpvsDatapath::Refused() const {
  std::vector<datapath::Refusal> refusals;
  for (const auto& [key, error] : refused_) refusals.push_back({key, error});
  return refusals;
}

void IpvsDatapath::Publish() {
  datapath::RuleReadings readings = state_.Readings();
  std::ranges::copy(flows_deleted_, readings.flows_deleted);
  std::lock_guard lock(mutex_);
  readings_ = std::move(readings);
}

datapath::RuleReadings IpvsDatapath::Rules() const {
  std::lock_guard lock(mutex_);
  return readings_;
}

std::vector<datapath::FlowPass> IpvsDatapath::TakeFlowPasses() {
  std::vector<datapath::FlowPass> passes;
  if (!parts_.flows) return passes;
  for (const netfilter::UdpPass& pass : parts_.flows->Take()) {
    passes.push_back({pass.family, pass.seconds});
    flows_deleted_[pass.family == Family::kIpv6] += pass.deleted;
  }
  if (!passes.empty()) Publish();
  return passes;
}

}  // namespace fairlead::ipvs
