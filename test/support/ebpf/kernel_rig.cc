// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/kernel_rig.h"

#include <linux/pkt_cls.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include <gtest/gtest.h>

#include "maps/answer_budget.h"
#include "test/support/ebpf/flow_text.h"
#include "test/support/objects.h"

namespace fairlead::test {

namespace {

constexpr std::array<std::string_view, VERDICT_COUNT> kVerdicts = {
#define X(name, action, meaning) #name,
    FAIRLEAD_VERDICTS(X)
#undef X
};
constexpr std::array<std::string_view, PROGRAM_COUNT> kPrograms = {
#define X(name, text) text,
    FAIRLEAD_PROGRAMS(X)
#undef X
};

std::string VerdictName(size_t index) {
  return fmt::format("{} {}", kPrograms[index / VERDICT_COUNT], kVerdicts[index % VERDICT_COUNT]);
}

Capacities CapacitiesFor(const RigOptions& options) {
  Capacities capacities = SmallCapacities();
  capacities.flows = options.flows;
  capacities.affinity = 256;
  return capacities;
}

fairlead_config ConfigFor(const RigOptions& options) {
  Capacities capacities = CapacitiesFor(options);
  fairlead_config config{};
  config.node_netns_cookie = 1;
  config.hash_seed = 0x123456789abcdef0ULL;
  config.frontend_mask = static_cast<uint32_t>(ebpf::MemoryTables::SlotsFor(capacities.frontends)) - 1;
  config.flow_mask = static_cast<uint32_t>(ebpf::MemoryTables::FlowSetsFor(capacities.flows)) - 1;
  uint64_t key = 0x9e3779b97f4a7c15ULL;
  for (auto& flow_key : config.flow_keys) flow_key = (key = key * 0x2545f4914f6cdd1dULL + 12345) | 1;
  config.tick_shift = 30;  // weeks: time passes only when a test says so
  config.tick_ms = 1000;
  config.flow_timeout[FLOW_ESTABLISHED] = 86400;
  config.flow_timeout[FLOW_STREAM] = 120;
  config.flow_timeout[FLOW_HALF_CLOSED] = 3600;
  config.flow_timeout[FLOW_UNREPLIED] = 30;
  config.flow_timeout[FLOW_SYN] = 120;
  config.flow_timeout[FLOW_CLOSED] = 120;
  config.idle_ticks = FLOW_IDLE_BEFORE_EVICTION_S;
  config.direct_delivery = 1;
#if defined(__x86_64__)
  config.strong_order = 1;
#endif
  if (options.configure) options.configure(config);
  return config;
}

// The flow table is in shared memory of the kernel: a test's thread alone writes it while no program runs.
void ForEachFlow(const ebpf::FlowSets& sets, const std::function<void(flow&)>& visit) {
  for (size_t set = 0; set < sets.size(); ++set) {
    for (unsigned way = 0; way < FLOW_WAYS; ++way) {
      if (sets.tags[set].tags >> (way * 8) & 0xff) visit(sets.entries[set].entry[way]);
    }
  }
}

template <typename Table>
void DeleteRows(int fd) {
  ebpf::KernelTable<Table> table(fd);
  std::vector<typename Table::Key> keys;
  (void)table.ForEach([&](const auto& key, const auto&) { keys.push_back(key); });
  for (const auto& key : keys) (void)table.Delete(key);
}

// Each CPU's values of a per-CPU array of one 64-bit count, summed up.
std::vector<uint64_t> PerCpuSums(int fd, uint32_t rows) {
  static const auto cpus = static_cast<size_t>(libbpf_num_possible_cpus());
  std::vector<uint64_t> values(rows * cpus), sums(rows);
  std::vector<uint32_t> keys(rows);
  uint32_t count = rows, next = 0;
  bpf_map_batch_opts options{};
  options.sz = sizeof(options);
  int done = bpf_map_lookup_batch(fd, nullptr, &next, keys.data(), values.data(), &count, &options);
  if (done != 0 && errno != ENOENT)
    throw std::runtime_error(fmt::format("counters: {}", std::strerror(errno)));
  for (uint32_t i = 0; i < count; ++i) {
    for (size_t cpu = 0; cpu < cpus; ++cpu) sums[keys[i]] += values[i * cpus + cpu];
  }
  return sums;
}

// Both families of a probe's key: the tuple that the first bytes of a frame carry.
flow_key KeyOf(const Packet& packet) {
  Bytes ip = packet.FromIp();
  bool v4 = packet.src().GetFamily() == Family::kIpv4;
  size_t l4 = v4 ? ip[0] % 16 * 4U : 40;
  flow_key key{};
  key.src = packet.src().raw;
  key.dst = packet.dst().raw;
  key.proto = ip[v4 ? 9 : 6];
  std::memcpy(&key.sport, &ip[l4], 2);
  std::memcpy(&key.dport, &ip[l4 + 2], 2);
  return key;
}

std::string ActionOf(std::string_view program, int code) {
  if (program.starts_with("xdp")) {
    switch (code) {
      case XDP_PASS:
        return "pass";
      case XDP_DROP:
        return "drop";
      case XDP_TX:
      case XDP_REDIRECT:
        return "sent";
      default:
        return fmt::format("XDP action {}", code);
    }
  }
  switch (code) {
    case TC_ACT_UNSPEC:
    case TC_ACT_OK:
      return "pass";
    case TC_ACT_SHOT:
      return "drop";
    case TC_ACT_REDIRECT:
      return "sent";
    default:
      return fmt::format("TC action {}", code);
  }
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Ran& ran) {
  return out << ran.Text();
}

// Programs and tables are made once a configuration and emptied for each rig: loading takes the verifier a
// while.
struct KernelRig::Loaded {
  Loaded(const PacketWorld& world, const Capacities& capacities, const fairlead_config& config)
      : programs(world, capacities, config) {
    Map(frontends, frontends_table{});
    Map(backends, backends_table{});
    Map(rings, rings_table{});
    Map(service_cidrs, service_cidrs_table{});
    Map(pod_cidrs, pod_cidrs_table{});
    Map(conntrack, conntrack_table{});
    Map(flow_tags, flow_tags_table{});
    Map(destinations, destinations_table{});
    Map(nat_ports, nat_ports_table{});
    devices = ebpf::KernelTable<devices_table>(programs.MapFd("devices"));
    source_ranges = ebpf::KernelTable<source_ranges_table>(programs.MapFd("source_ranges"));
    if (int fd = programs.MapFd("service_traffic"); fd >= 0) Map(service_counts, service_traffic_table{});
    if (int fd = programs.MapFd("backend_traffic"); fd >= 0) Map(backend_counts, backend_traffic_table{});
  }

  template <typename Value, typename Table>
  void Map(ebpf::SharedArray<Value>& array, Table) {
    int fd = programs.MapFd(Table::kName);
    auto info = ebpf::GetMapInfo(fd);
    if (!info) throw std::runtime_error(fmt::format("{}: {}", Table::kName, info.error().message));
    auto mapped = ebpf::SharedArray<Value>::Map(fd, Table::kName, info->max_entries, true);
    if (!mapped) throw std::runtime_error(mapped.error().message);
    array = std::move(*mapped);
  }

  PacketPrograms programs;
  ebpf::SharedArray<frontend_slot> frontends;
  ebpf::SharedArray<record> backends;
  ebpf::SharedArray<ring_chunk> rings;
  ebpf::SharedArray<service_cidr> service_cidrs, pod_cidrs;
  ebpf::SharedArray<flow_set> conntrack;
  ebpf::SharedArray<::flow_tags> flow_tags;
  ebpf::SharedArray<destination_word> destinations;
  ebpf::SharedArray<nat_port_word> nat_ports;
  ebpf::SharedArray<traffic> service_counts, backend_counts;
  ebpf::KernelTable<devices_table> devices;
  ebpf::KernelTable<source_ranges_table> source_ranges;
};

std::shared_ptr<KernelRig::Loaded> KernelRig::Load(const RigOptions& options) {
  static PacketWorld world;
  static std::map<std::string, std::shared_ptr<Loaded>> loaded;
  static std::string
      failed;  // programs that do not load are one failure, not one of each test's five seconds
  if (!failed.empty()) throw std::runtime_error(failed.substr(0, failed.find('\n')));
  auto& of_these = loaded[fmt::format("{} flows {}", options.flows, options.configured)];
  // Two rigs of one test must not share tables.
  if (of_these && of_these.use_count() == 1) return of_these;
  try {
    auto made = std::make_shared<Loaded>(world, CapacitiesFor(options), ConfigFor(options));
    if (!of_these) of_these = made;
    return made;
  } catch (const std::runtime_error& error) {
    failed = error.what();
    throw;
  }
}

KernelRig::KernelRig(const RigOptions& options)
    : options_(options), loaded_(Load(options)), programs_(&loaded_->programs) {
  Empty();
  tables_.hash_seed = ConfigFor(options_).hash_seed;
  tables_.frontends = loaded_->frontends.elements();
  tables_.backends = loaded_->backends.elements();
  tables_.rings = loaded_->rings.elements();
  tables_.service_cidrs = loaded_->service_cidrs.elements();
  tables_.pod_cidrs = loaded_->pod_cidrs.elements();
  tables_.service_traffic = loaded_->service_counts.elements();
  tables_.backend_traffic = loaded_->backend_counts.elements();
  tables_.services = &services_;
  tables_.source_ranges = &loaded_->source_ranges;
  tables_.source_range_capacity = SmallCapacities().source_ranges;
  tables_.conntrack = {loaded_->conntrack.elements(), loaded_->flow_tags.elements()};
  tables_.destinations = loaded_->destinations.elements();
  tables_.nat_ports = loaded_->nat_ports.elements();
  tables_.devices = &loaded_->devices;
  fairlead_config config = ConfigFor(options_);
  ebpf::FlowKeys keys{};
  std::copy(std::begin(config.flow_keys), std::end(config.flow_keys), keys.begin());
  flows_ = ebpf::FlowTable(tables_.conntrack, keys);
  tables_.flow_keys = keys;

  reclaimer_ = std::make_unique<ebpf::Reclaimer>(grace_);
  writer_ = std::make_unique<ebpf::Writer>(tables_, *reclaimer_);
  ApplyNode(NodeOfWorld());
  SetDevice("", "192.168.99.11", "fd00:192:168:99::11", 0);
  SetDevice("eth0", "192.168.99.11", "fd00:192:168:99::11", DEVICE_UPLINK);
  SetDevice("eth1", "192.168.98.11", "fd00:192:168:98::11", DEVICE_UPLINK);
  SetNatPorts(1024, 29999);
  counted_first_ = Counters();
  tried_first_ = PerCpuSums(MapFd("nat_tries"), NAT_TRIES + 1);
}

void KernelRig::Empty() {
  auto clear = [](auto elements) {
    std::memset(static_cast<void*>(elements.data()), 0, elements.size_bytes());
  };
  clear(loaded_->frontends.elements());
  clear(loaded_->backends.elements());
  clear(loaded_->rings.elements());
  clear(loaded_->service_cidrs.elements());
  clear(loaded_->pod_cidrs.elements());
  clear(loaded_->conntrack.elements());
  clear(loaded_->flow_tags.elements());
  clear(loaded_->destinations.elements());
  clear(loaded_->nat_ports.elements());
  clear(loaded_->service_counts.elements());
  clear(loaded_->backend_counts.elements());
  const uint32_t row = 0;
  const std::vector<answer_budget> full(static_cast<size_t>(libbpf_num_possible_cpus()));
  bpf_map_update_elem(MapFd("answer_budget"), &row, full.data(), BPF_ANY);
  DeleteRows<devices_table>(MapFd("devices"));
  DeleteRows<source_ranges_table>(MapFd("source_ranges"));
  DeleteRows<affinity_table>(MapFd("affinity"));
  if (int fd = MapFd("fragments"); fd >= 0) DeleteRows<fragments_table>(fd);
  if (int fd = MapFd("held_fragments"); fd >= 0) DeleteRows<held_fragments_table>(fd);
}

plan::NodePlan KernelRig::NodeOfWorld() {
  plan::NodePlan node;
  for (std::string_view address :
       {"192.168.98.11", "192.168.99.11", "fd00:192:168:98::11", "fd00:192:168:99::11"}) {
    node.nodeport_addresses.push_back(Addr(address));
  }
  node.service_cidrs = {Range("172.30.0.0/16"), Range("fd00:172:30::/112")};
  node.pod_cidrs = {Range("10.180.0.0/16"), Range("fd00:10:180::/48")};
  return node;
}

void KernelRig::Apply(std::vector<plan::Change> changes) {
  for (auto& failure : writer_->Apply(changes)) ADD_FAILURE() << failure.error.message;
  while (reclaimer_->Poll()) {
  }
}

void KernelRig::ApplyNode(const plan::NodePlan& node) {
  auto applied = writer_->ApplyNode(node);
  if (!applied) ADD_FAILURE() << applied.error().message;
}

void KernelRig::SetDevice(const std::string& name, std::string_view v4, std::string_view v6, uint32_t flags) {
  device row{};
  if (!v4.empty()) row.nat_v4 = Addr(v4).raw;
  if (!v6.empty()) row.nat_v6 = Addr(v6).raw;
  row.flags = flags;
  name.copy(row.name, sizeof(row.name) - 1);
  auto written = loaded_->devices.Update(name.empty() ? 0 : IfIndex(name), row);
  if (!written) ADD_FAILURE() << written.error().message;
}

void KernelRig::SetNatPorts(uint16_t first, uint16_t last) {
  for (uint32_t port = 0; port < 65536; ++port) {
    nat_port_word& word = tables_.nat_ports[port / 64];
    auto bit = __u64{1} << port % 64;
    word.usable = port >= first && port <= last ? word.usable | bit : word.usable & ~bit;
  }
}

std::vector<uint64_t> KernelRig::Counters() const {
  return PerCpuSums(MapFd("counters"), uint32_t{PROGRAM_COUNT} * VERDICT_COUNT);
}

Ran KernelRig::In(std::span<const uint8_t> frame, const std::string& device) {
  if (!options_.xdp) return Run("tc_uplink", frame, device);
  Ran at_driver = Run("xdp_uplink", frame, device);
  if (at_driver.action != "pass") return at_driver;
  return Run("tc_uplink", at_driver.frame, device);
}

Ran KernelRig::Run(std::string_view program, std::span<const uint8_t> frame, const std::string& device) {
  std::vector<uint64_t> before = Counters();
  RunResult result = programs_->Run(program, frame, device);
  std::vector<uint64_t> counted = Counters();
  Ran ran{ActionOf(program, result.code), "", std::move(result.frame), result.mark};
  for (size_t i = 0; i < counted.size(); ++i) {
    if (counted[i] == before[i]) continue;
    if (!ran.verdict.empty()) ADD_FAILURE() << "two verdicts: " << ran.verdict << ", " << VerdictName(i);
    ran.verdict = VerdictName(i);
  }
  return ran;
}

std::vector<std::string> KernelRig::Flows() const {
  std::vector<std::string> texts;
  ForEachFlow(tables_.conntrack, [&](const flow& entry) { texts.push_back(FlowText(entry)); });
  std::sort(texts.begin(), texts.end());
  return texts;
}

size_t KernelRig::FlowEntries() const {
  size_t entries = 0;
  ForEachFlow(tables_.conntrack, [&](const flow&) { ++entries; });
  return entries;
}

std::optional<flow> KernelRig::FlowOf(const Packet& packet) const {
  auto entry = flows_.Find(KeyOf(packet));
  if (!entry) return std::nullopt;
  return entry->value;
}

std::string KernelRig::StateOf(const Packet& packet) const {
  auto entry = FlowOf(packet);
  return entry ? std::string(StateWord(entry->state)) : "none";
}

bool KernelRig::Lose(const Packet& packet) {
  auto entry = flows_.Find(KeyOf(packet));
  return entry && flows_.Free(*entry, false);
}

void KernelRig::Pass(uint32_t ticks) {
  ForEachFlow(tables_.conntrack, [&](flow& entry) { entry.last_seen -= ticks; });
}

void KernelRig::PassAffinity(uint32_t seconds) {
  ebpf::KernelTable<affinity_table> table(MapFd("affinity"));
  std::vector<std::pair<affinity_key, affinity>> rows;
  (void)table.ForEach([&](const affinity_key& key, const affinity& value) { rows.emplace_back(key, value); });
  for (auto& [key, value] : rows) {
    value.last_used_ns -= uint64_t{seconds} * 1000000000;
    (void)table.Update(key, value);
  }
}

size_t KernelRig::AffinityEntries() const {
  size_t rows = 0;
  (void)ebpf::KernelTable<affinity_table>(MapFd("affinity")).ForEach([&](const auto&, const auto&) {
    ++rows;
  });
  return rows;
}

std::vector<uint64_t> KernelRig::NatTries() const {
  std::vector<uint64_t> tries = PerCpuSums(MapFd("nat_tries"), NAT_TRIES + 1);
  for (size_t i = 0; i < tries.size(); ++i) tries[i] -= tried_first_[i];
  return tries;
}

uint64_t KernelRig::Counted(std::string_view verdict) const {
  std::vector<uint64_t> now = Counters();
  for (size_t i = 0; i < now.size(); ++i) {
    if (VerdictName(i) == verdict) return now[i] - counted_first_[i];
  }
  ADD_FAILURE() << "no verdict " << verdict;
  return 0;
}

uint64_t KernelRig::Connections(const plan::ServicePortKey& key) const {
  uint64_t connections = 0;
  (void)services_.ForEach([&](const uint32_t& id, const service& row) {
    if (ebpf::DecodeService(row) == key) connections = tables_.service_traffic[id].connections;
  });
  return connections;
}

void KernelRig::Restart() {
  replaced_ = std::make_unique<PacketPrograms>(loaded_->programs.world(), CapacitiesFor(options_),
                                               ConfigFor(options_), &loaded_->programs);
  programs_ = replaced_.get();
  writer_.reset();
  reclaimer_ = std::make_unique<ebpf::Reclaimer>(grace_);
  writer_ = std::make_unique<ebpf::Writer>(tables_, *reclaimer_);
  auto findings = writer_->Restore();
  if (!findings) return ADD_FAILURE() << findings.error().message, void();
  for (const std::string& finding : *findings) ADD_FAILURE() << finding;
}

}  // namespace fairlead::test
