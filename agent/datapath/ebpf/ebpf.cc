// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/ebpf.h"

#include <algorithm>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/probe_load.h"

namespace fairlead::ebpf {

namespace {

// Nothing waits for retired memory but its reuse: a look every so often keeps grace periods few under churn.
constexpr std::chrono::milliseconds kReclaimPause{100};

}  // namespace

EbpfOptions EbpfOptions::From(const Options& options) {
  EbpfOptions made;
  made.kernel.bpffs_dir = options.bpffs_dir;
  made.kernel.cgroup = options.cgroup;
  made.kernel.capacities = options.capacities;
  made.kernel.conntrack = options.conntrack;
  made.kernel.pod_devices_are_pods = PodDevicesArePods(options);
  made.kernel.direct_delivery = options.pod_delivery == "direct";
  made.kernel.xdp = options.xdp != "off";
  made.devices = DeviceOptions::From(options);
  made.netns_dirs = options.netns_dirs;
  made.nodeport_range = options.nodeport_range;
  return made;
}

Result<std::unique_ptr<EbpfDatapath>> EbpfDatapath::Open(const EbpfOptions& options) {
  std::unique_ptr<EbpfDatapath> self(new EbpfDatapath);
  auto kernel = Kernel::Open(options.kernel);
  if (!kernel) return std::unexpected(kernel.error());
  self->kernel_ = std::move(*kernel);
  auto grace = KernelGrace::Create();
  if (!grace) return std::unexpected(grace.error());
  self->grace_ = std::move(*grace);
  self->reclaimer_ = std::make_unique<Reclaimer>(*self->grace_);
  self->writer_ = std::make_unique<Writer>(self->kernel_->tables(), *self->reclaimer_);
  self->sweeper_ = std::make_unique<Sweeper>(*self->kernel_, options.netns_dirs);
  auto programs = self->kernel_->packet_programs();
  if (!programs) return std::unexpected(programs.error());
  auto path = PacketPath::Open(options.devices, {self->kernel_->pins(),
                                                 std::move(*programs),
                                                 *self->kernel_->tables().devices,
                                                 [flows = self->kernel_->tables().conntrack] {
                                                   return FlowTable(flows, {}).Devices();
                                                 },
                                                 load::Tcx().has_value(),
                                                 {},
                                                 options.kernel.leave_established,
                                                 options.earlier_serves});
  if (!path) return std::unexpected(path.error());
  self->path_ = std::move(*path);
  self->leaves_established_ = options.kernel.leave_established;
  if (auto kept = self->KeepFlows(options); !kept) return std::unexpected(kept.error());
  if (auto taken = self->TakeOver(); !taken) return std::unexpected(taken.error());
  return self;
}

// What the agent does for the flows: ends those that are over, and says which source ports new ones may have.
Result<void> EbpfDatapath::KeepFlows(const EbpfOptions& options) {
  auto clock = Clock::Open();
  if (!clock) return std::unexpected(clock.error());
  clock_ = std::make_unique<Clock>(std::move(*clock));
  auto range = ParsePortRange(options.nodeport_range);
  if (!range) return std::unexpected(std::move(range.error()).In("serviceNodePortRange"));
  const Tables& tables = kernel_->tables();
  const fairlead_config& config = kernel_->config();
  FlowKeys keys;
  std::copy(std::begin(config.flow_keys), std::end(config.flow_keys), keys.begin());
  Collector::Refresh refresh{
      Destinations(tables.destinations, keys), *reclaimer_, [this](Destinations& destinations) {
        writer_->addresses().ForEach([&](const ip_addr& address) { destinations.Keep(address); });
      }};
  collector_ = std::make_unique<Collector>(
      FlowTable(tables.conntrack, keys), config,
      [this] { return clock_->NowTick(kernel_->config().tick_shift); }, std::move(refresh));
  nat_ports_ = std::make_unique<NatPorts>(tables.nat_ports, *range, options.read_host);
  return {};
}

// What an earlier agent left in the tables.
Result<void> EbpfDatapath::TakeOver() {
  if (kernel_->adopted()) {
    grace_->Wait();  // readers of what the earlier agent retired last
    auto findings = writer_->Restore();
    if (!findings) return std::unexpected(findings.error());
    for (const std::string& finding : *findings)
      spdlog::warn("restart: {}; the entry is written anew", finding);
    spdlog::info("restart: {} frontends of {} service ports go on", Usages()[0].used, Usages()[4].used);
  } else if (const Tables* old = kernel_->predecessor()) {
    return writer_->InheritIds(*old);
  }
  return {};
}

EbpfDatapath::~EbpfDatapath() = default;

void EbpfDatapath::EndLeaving() {
  leaves_established_ = false;
  path_->EndLeaving();
}

std::vector<datapath::Failure> EbpfDatapath::Apply(std::span<const plan::Change> changes) {
  bool udp = std::any_of(changes.begin(), changes.end(), [](const plan::Change& change) {
    return change.key.protocol == plan::Protocol::kUdp;
  });
  if (udp) sweeper_->Expect();
  path_->Apply(changes);
  for (const plan::Change& change : changes) nat_ports_->Note(change);
  // SCTP has no socket hook: it is not translated here.
  std::vector<plan::Change> ours;
  for (const plan::Change& change : changes) {
    if (change.key.protocol != plan::Protocol::kSctp) ours.push_back(change);
  }
  return writer_->Apply(ours);
}

Result<void> EbpfDatapath::ApplyNode(const plan::NodePlan& node) {
  nat_ports_->Expect();
  return writer_->ApplyNode(node);
}

Result<void> EbpfDatapath::Commit() {
  // Before programs that need them run; from now on every NodePort is known.
  nat_ports_->Poll(std::chrono::steady_clock::now());
  if (auto committed = kernel_->Commit(); !committed) return committed;
  if (auto committed = path_->Commit(); !committed) return committed;
  kernel_->ForgetPredecessor();
  committed_ = true;
  sweeper_->Expect();  // what changed while no agent ran
  return {};
}

Result<void> EbpfDatapath::Prune() {
  sweeper_->Expect();
  path_->Prune();
  return writer_->Prune();
}

std::optional<std::chrono::steady_clock::time_point> EbpfDatapath::Reconcile() {
  const auto now = std::chrono::steady_clock::now();
  auto next = path_->Poll(now);
  if (reclaimer_->Poll()) next = std::min(next, now + kReclaimPause);
  if (committed_) next = std::min({next, sweeper_->Poll(now), collector_->Poll(now), nat_ports_->Poll(now)});
  return next;
}

std::vector<datapath::Usage> EbpfDatapath::Usages() const {
  std::vector<datapath::Usage> usages = writer_->Usages();
  const FlowCounts flows = collector_->Counts();
  usages.push_back({conntrack_table::kName, flows.used(), flows.capacity});
  return usages;
}

std::vector<datapath::VerdictCount> EbpfDatapath::Verdicts() const {
  return kernel_->Verdicts();
}

uint64_t EbpfDatapath::BytesWritten() const {
  return writer_->store().bytes();
}

datapath::FlowReadings EbpfDatapath::Flows() const {
  const FlowCounts counts = collector_->Counts();
  datapath::FlowReadings readings;
  for (uint8_t state = FLOW_ESTABLISHED; state < FLOW_STATES; ++state)
    readings.states.push_back({FlowStateName(state), counts.entries[state]});
  readings.capacity = counts.capacity;
  readings.collected = counts.collected;
  readings.stuck = counts.stuck;
  readings.source_ports = nat_ports_->usable();
  readings.port_tries = ReadNatTries(kernel_->table_fd(nat_tries_table::kName));
  return readings;
}

}  // namespace fairlead::ebpf
