// SPDX-License-Identifier: Apache-2.0
#include "agent/run/syncer.h"

#include <poll.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "agent/base/log.h"
#include "agent/plan/node.h"

namespace fairlead::run {

namespace {

constexpr std::chrono::milliseconds kRetryMin{100};
constexpr std::chrono::milliseconds kRetryMax{10000};
constexpr std::chrono::seconds kProgress{2};
constexpr double kWarnAt = 0.80;  // of a table's capacity
constexpr double kCalmAt = 0.75;

double Seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}
double UnixNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Syncer::Syncer(const Options& options, plan::NodeFacts facts, Inbox& inbox, NodeAddresses& addresses,
               datapath::Datapath& datapath, Health& health, HealthChecks& health_checks, Metrics& metrics)
    : options_(options),
      inbox_(inbox),
      addresses_(addresses),
      datapath_(datapath),
      health_(health),
      health_checks_(health_checks),
      metrics_(metrics),
      cluster_(facts.name),
      planner_(std::move(facts)),
      retry_after_(kRetryMin) {
  metrics_.AddReader([this](Readings& into) {
    for (const datapath::VerdictCount& count : datapath_.Verdicts()) {
      into.verdicts.push_back({std::string(count.program), std::string(count.verdict), count.count});
    }
    datapath::FlowReadings flows = datapath_.Flows();
    for (const auto& state : flows.states) into.flows.entries.emplace_back(state.state, state.entries);
    into.flows.capacity = flows.capacity;
    into.flows.collected = flows.collected;
    into.flows.stuck = flows.stuck;
    into.flows.source_ports = flows.source_ports;
    into.flows.port_tries = std::move(flows.port_tries);
    into.rules = datapath_.Rules();
    std::lock_guard lock(mutex_);
    into.tables.insert(into.tables.end(), readings_.tables.begin(), readings_.tables.end());
    into.service_ports = readings_.service_ports;
    into.ids.insert(into.ids.end(), readings_.ids.begin(), readings_.ids.end());
    into.written_bytes += readings_.written_bytes;
    into.write_errors += readings_.write_errors;
    into.pending_writes += readings_.pending_writes;
  });
}

bool Syncer::committed() const {
  std::lock_guard lock(mutex_);
  return committed_seen_;
}

void Syncer::Run(int stop_fd, const std::function<void()>& on_resync) {
  SyncAddresses();
  resync_at_ = Clock::now() + options_.sync_period;
  progress_at_ = Clock::now() + kProgress;
  for (;;) {
    pollfd fds[] = {{stop_fd, POLLIN, 0},
                    {inbox_.fd(), POLLIN, 0},
                    {addresses_.fd(), POLLIN, 0},
                    {datapath_.event_fd(), POLLIN, 0}};
    Clock::time_point now = Clock::now();
    if (now < quiet_until_) fds[1].fd = -1;  // minSyncPeriod: let it gather
    ::poll(fds, std::size(fds), TimeoutMs(now));
    if (fds[0].revents != 0) return;
    if (fds[2].revents != 0) {
      addresses_.Drain();
      SyncAddresses();
    }
    now = Clock::now();
    Batch batch;
    if (fds[1].revents != 0) Take(batch);
    bool resync = now >= resync_at_;
    if (resync) {
      resync_at_ = now + options_.sync_period;
      SyncAddresses();
      on_resync();
    }
    Sync(std::move(batch), resync);
    reconcile_at_ = datapath_.Reconcile();
    ObserveRefusals();
    for (const datapath::FlowPass& pass : datapath_.TakeFlowPasses())
      metrics_.ObserveFlowPass(pass.family, pass.seconds);
  }
}

int Syncer::TimeoutMs(Clock::time_point now) const {
  Clock::time_point until = resync_at_;
  if (reconcile_at_) until = std::min(until, *reconcile_at_);
  if (planned_ && !pending_.empty()) until = std::min(until, retry_at_);
  if (planned_ && again_at_) until = std::min(until, *again_at_);
  if (!planned_) until = std::min(until, progress_at_);
  if (now < quiet_until_) until = std::min(until, quiet_until_);
  auto wait = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
  return static_cast<int>(std::clamp<int64_t>(wait, 0, 60000));
}

void Syncer::Take(Batch& batch) {
  auto [updates, problems] = inbox_.Take();
  for (const kube::Problem& problem : problems) {
    spdlog::warn("{}: {}", problem.source, problem.message);
    metrics_.CountBadObject(problem.source);
  }
  for (kube::Update& update : updates) {
    if (update.received != Clock::time_point{}) batch.received.push_back(update.received);
    size_t count = update.type == kube::Update::Type::kReplace ? update.objects.size() : 1;
    if (update.kind == kube::Kind::kService) batch.services += count;
    if (update.kind == kube::Kind::kEndpointSlice) {
      batch.slices += count;
      if (planned_ && update.type == kube::Update::Type::kReplace) {  // most of a relist is old news
        cluster_.Apply(std::move(update));
        continue;
      }
      for (const kube::Object& object : update.objects) {
        const auto& slice = std::get<kube::EndpointSlice>(object);
        if (slice.trigger_time_ns == 0) continue;
        batch.trigger_times_ns.push_back(slice.trigger_time_ns);
        batch.trigger_families.push_back(slice.family);
      }
    }
    cluster_.Apply(std::move(update));
  }
}

// --- the node

void Syncer::SyncAddresses() {
  auto listed = addresses_.List();
  if (!listed) {
    spdlog::warn("{}; those known go on", listed.error().message);
    return;
  }
  if (node_addresses_ == *listed) return;
  node_addresses_ = std::move(*listed);
  plan::NodeFacts facts = planner_.facts();
  facts.addresses = node_addresses_;
  replan_ |= planner_.SetFacts(std::move(facts));
  node_pending_ = true;
  again_at_ = Clock::now();
}

// Takes the Node object in. True if all services must be planned again.
bool Syncer::SyncNode() {
  if (!cluster_.TakeNodeChanged() && planned_) return false;
  plan::NodeFacts facts = planner_.facts();
  const kube::Node* node = cluster_.ThisNode();
  facts.zone = node ? node->zone : "";
  facts.primary_addresses = node ? node->internal_ips : std::vector<Address>{};
  facts.node_pod_cidrs = node ? node->pod_cidrs : std::vector<Cidr>{};
  health_.SetNodeEligible(node ? !node->being_deleted && !node->to_be_deleted_taint
                               : !options_.manifests.empty());  // a folder need not describe the node
  node_pending_ = true;
  again_at_ = Clock::now();
  return planner_.SetFacts(std::move(facts));
}

// --- a pass

void Syncer::Sync(Batch batch, bool full) {
  Clock::time_point began = Clock::now();
  if (!cluster_.Synced()) {
    if (began >= progress_at_) {
      progress_at_ = began + kProgress;
      spdlog::info("loading: {} services, {} slices so far", cluster_.service_count(),
                   cluster_.slice_count());
    }
    return;
  }
  bool all = SyncNode();
  all |= std::exchange(replan_, false);
  all |= !planned_;
  std::vector<kube::ObjectName> names = cluster_.TakeDirty();  // also services that are gone
  if (all) std::ranges::move(cluster_.ServiceNames(), std::back_inserter(names));

  const bool retry = !pending_.empty() && (began >= retry_at_ || full);
  const bool again = again_at_ && (began >= *again_at_ || full);
  const bool prune = committed_ && !pruned_ && cluster_.Complete() && !again_at_;
  if (names.empty() && planned_ && !retry && !again && !prune && !full) return;
  if (again) again_at_.reset();
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!names.empty()) {
      health_.Queued(family);
      metrics_.Of(family).last_queued.Set(UnixNow());
    }
  }

  plan::Delta delta = planner_.Update(cluster_, names);
  for (const kube::Problem& problem : delta.problems) {
    spdlog::warn("{}: {}", problem.source, problem.message);
    metrics_.CountBadObject(problem.source);
  }
  std::vector<plan::Change> changes = std::move(delta.changes);
  for (const plan::Change& change : changes) health_checks_due_.insert(change.key.service);
  if (retry) AddPending(changes);
  if (node_pending_) ApplyNode();  // first: its few entries are never the ones that find a table full
  ApplyChanges(std::move(changes), retry);
  if (!planned_) {
    planned_ = true;
    spdlog::info("planned: {} service ports of {} services, {} of them pending", planner_.plan().size(),
                 cluster_.service_count(), pending_.size());
  }
  if (!committed_) CommitOnce();
  if (committed_ && !pruned_) PruneOnce();
  if (committed_) SyncHealthChecks(full || again);
  Observe(batch, began, all);
  quiet_until_ = Clock::now() + options_.min_sync_period;
}

// What is pending and not changed again; `changes` is sorted by key.
void Syncer::AddPending(std::vector<plan::Change>& changes) {
  std::vector<plan::Change> older;
  for (const auto& [key, pending] : pending_) {
    bool newer = std::ranges::binary_search(changes, key, {}, &plan::Change::key);
    if (!newer) older.push_back(pending.change);
  }
  std::ranges::move(older, std::back_inserter(changes));
}

void Syncer::ApplyChanges(std::vector<plan::Change> changes, bool retry) {
  if (changes.empty()) return;
  const size_t pending_before = pending_.size();
  std::vector<datapath::Failure> failures = datapath_.Apply(changes);
  std::set<plan::ServicePortKey> failed;
  for (const datapath::Failure& failure : failures) failed.insert(failure.change.key);
  for (const plan::Change& change : changes) {
    if (failed.contains(change.key) || pending_.erase(change.key) == 0) continue;
    if (change.now) spdlog::info("{}: in effect now", change.key.ToString());
  }
  const size_t pending_left = pending_.size();
  write_errors_ += failures.size();
  for (datapath::Failure& failure : failures) {
    Pending& pending = pending_[failure.change.key];
    if (pending.message != failure.error.message) {
      spdlog::error("{}; what stood before stands, trying again", failure.error.message);
      pending.message = failure.error.message;
    }
    pending.kind = failure.error.kind;
    pending.change = std::move(failure.change);
  }
  // The clock of the pending ones is not set back by others that come and go meanwhile.
  if (retry) {
    retry_after_ = pending_left < pending_before ? kRetryMin : std::min(retry_after_ * 2, kRetryMax);
  } else if (pending_before == 0) {
    retry_after_ = kRetryMin;
  } else {
    return;
  }
  retry_at_ = Clock::now() + retry_after_;
}

void Syncer::ApplyNode() {
  auto applied = datapath_.ApplyNode(planner_.PlanNode(cluster_));
  node_pending_ = !applied;
  TryAgainUnless(applied);
}

// One word on a failure while it lasts, and another attempt later.
void Syncer::TryAgainUnless(const Result<void>& outcome) {
  if (outcome) return;
  if (last_error_ != outcome.error().message) spdlog::error("{}; trying again", outcome.error().message);
  last_error_ = outcome.error().message;
  again_at_ = Clock::now() + kRetryMax;
}

void Syncer::CommitOnce() {
  auto committed = datapath_.Commit();
  TryAgainUnless(committed);
  if (!committed) return;
  committed_ = true;
  const size_t planned = planner_.plan().size();
  spdlog::info("programmed: {} mode serves {} service ports", datapath_.Name(),
               planned - std::min(planned, CountWaiting().service_ports));
}

// What an earlier run left and nobody names any more goes, when the sources know everything there is.
void Syncer::PruneOnce() {
  if (!cluster_.Complete()) return;
  auto pruned = datapath_.Prune();
  pruned_ = pruned.has_value();
  TryAgainUnless(pruned);
}

// After the datapath: what a load balancer is told is true by then. `again`: the node's addresses may be
// others, or those that failed are due.
void Syncer::SyncHealthChecks(bool again) {
  const std::set<kube::ObjectName> due = std::exchange(health_checks_due_, {});
  if (due.empty() && !again) return;
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    health_checks_.ListenOn(family, plan::HealthCheckAddresses(planner_.facts(), family));
  }
  for (const kube::ObjectName& service : due) {
    health_checks_.Set(service, plan::HealthChecksOf(planner_.plan(), service));
  }
  health_checks_.Open();
}

// --- what is measured

void Syncer::Observe(const Batch& batch, Clock::time_point began, bool full) {
  Clock::time_point now = Clock::now();
  for (Clock::time_point received : batch.received) metrics_.wire_to_flip.Observe(Seconds(now - received));
  auto wall = std::chrono::system_clock::now();
  auto started_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(started_.time_since_epoch()).count();
  auto now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wall.time_since_epoch()).count();
  for (size_t i = 0; i < batch.trigger_times_ns.size(); ++i) {
    if (batch.trigger_times_ns[i] < started_ns) continue;  // older than this process
    metrics_.Of(batch.trigger_families[i])
        .programming.Observe(static_cast<double>(now_ns - batch.trigger_times_ns[i]) / 1e9);
  }
  metrics_.service_changes.Increment(static_cast<double>(batch.services));
  metrics_.endpoint_changes.Increment(static_cast<double>(batch.slices));
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    auto& of = metrics_.Of(family);
    of.sync.Observe(Seconds(now - began));
    (full ? of.full_sync : of.partial_sync).Observe(Seconds(now - began));
    of.last_sync.Set(UnixNow());
    plan::NoLocalEndpoints none = planner_.no_local_endpoints(family);
    of.no_local_internal.Set(static_cast<double>(none.internal));
    of.no_local_external.Set(static_cast<double>(none.external));
  }
  JudgeHealth();
  WarnOfFillLevels();
  Publish();
}

Syncer::Waiting Syncer::CountWaiting() const {
  Waiting waiting;
  const auto add = [&](const plan::ServicePortKey& key, ErrorKind kind) {
    ++waiting.service_ports;
    // What does not fit, makes no sense or asks for what this node has not waits for somebody to act; it is
    // no sign that the agent is late.
    const bool others =
        kind == ErrorKind::kExhausted || kind == ErrorKind::kInvalid || kind == ErrorKind::kUnsupported;
    if (!others) waiting.late[key.family == Family::kIpv6] = true;
  };
  for (const auto& [key, change] : pending_) add(key, change.kind);
  for (const datapath::Refusal& refusal : datapath_.Refused()) {
    if (!pending_.contains(refusal.key)) add(refusal.key, refusal.error.kind);
  }
  return waiting;
}

void Syncer::JudgeHealth() {
  const Waiting waiting = CountWaiting();
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    if (committed_ && !waiting.late[family == Family::kIpv6]) health_.Synced(family);
  }
}

// The datapath tries them again between two passes.
void Syncer::ObserveRefusals() {
  const bool refused = !datapath_.Refused().empty();
  if (std::exchange(refused_, refused) || refused) {
    JudgeHealth();
    Publish();
  }
}

void Syncer::WarnOfFillLevels() {
  for (const datapath::Usage& usage : datapath_.Usages()) {
    double fill =
        usage.capacity == 0 ? 0 : static_cast<double>(usage.used) / static_cast<double>(usage.capacity);
    bool& warned = warned_full_[std::string(usage.table)];
    if (!warned && fill >= kWarnAt) {
      warned = true;
      spdlog::warn("{}: {} of {} in use ({:.0f} %); raise the capacity before it is full", usage.table,
                   usage.used, usage.capacity, fill * 100);
    } else if (warned && fill < kCalmAt) {
      warned = false;
    }
  }
}

void Syncer::Publish() {
  Readings readings;
  for (const datapath::Usage& usage : datapath_.Usages()) {
    readings.tables.push_back({std::string(usage.table), usage.used, usage.capacity});
    if (usage.table == "services") readings.ids.push_back({"service", usage.used});
    if (usage.table == "backend_ids") readings.ids.push_back({"backend", usage.used});
  }
  uint64_t elsewhere = 0;
  for (const datapath::Share& share : datapath_.Shares()) {
    readings.service_ports.emplace_back(share.datapath, share.service_ports);
    elsewhere += share.service_ports;
  }
  readings.service_ports.emplace_back(
      datapath_.Name(), planner_.plan().size() - std::min<uint64_t>(elsewhere, planner_.plan().size()));
  readings.written_bytes = datapath_.BytesWritten();
  readings.write_errors = write_errors_;
  readings.pending_writes = CountWaiting().service_ports;
  std::lock_guard lock(mutex_);
  readings_ = std::move(readings);
  committed_seen_ = committed_;
}

}  // namespace fairlead::run
