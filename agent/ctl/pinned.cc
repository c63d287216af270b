// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/pinned.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <thread>

#include "agent/ctl/host.h"
#include "agent/ctl/links.h"
#include "agent/ctl/read.h"
#include "agent/ctl/verdict_words.h"
#include "agent/datapath/ebpf/flow_table.h"
#include "maps/affinity.h"

namespace fairlead::ctl {

namespace {

constexpr auto kReplacementPause = std::chrono::milliseconds(50);
constexpr int kReplacementTries = 20;

Fd OpenForReading(const std::string& path) {
  struct bpf_obj_get_opts options{};  // "struct": a function has the same name
  options.sz = sizeof(options);
  options.file_flags = BPF_F_RDONLY;
  return Fd(bpf_obj_get_opts(path.c_str(), &options));
}

template <typename Table, typename Value>
Result<void> Map(int fd, Table, ebpf::SharedArray<Value>& array) {
  auto info = ebpf::GetMapInfo(fd);
  if (!info) return std::unexpected(std::move(info.error()).In(Table::kName));
  if (info->value_size != sizeof(Value)) {
    return Fail(ErrorKind::kUnsupported, "{}: values of {} bytes, expected {}", Table::kName,
                info->value_size, sizeof(Value));
  }
  auto mapped = ebpf::SharedArray<Value>::Map(fd, Table::kName, info->max_entries, false);
  if (!mapped) return std::unexpected(mapped.error());
  array = std::move(*mapped);
  return {};
}

Result<uint64_t> CountKeys(int fd, uint64_t at_most) {
  affinity_key key{}, next{};
  const affinity_key* at = nullptr;
  uint64_t count = 0;
  // Rows that come and go meanwhile can start the walk again.
  while (count < at_most && bpf_map_get_next_key(fd, at, &next) == 0) {
    ++count;
    key = next;
    at = &key;
  }
  if (count < at_most && errno != ENOENT) return FailErrno(errno, "{}: next key", affinity_table::kName);
  return count;
}

}  // namespace

Result<int> Pinned::Table(std::string_view name, bool shared) {
  // The kernel refuses to map a map that was opened for reading only, even for reading (kernel/bpf/syscall.c,
  // bpf_map_mmap asks for VM_SHARED, which such files lose); the mapping itself is for reading.
  Fd fd = shared ? pins_.OpenMap(name) : OpenForReading(pins_.MapPath(name));
  if (!fd) return FailErrno(errno, "{}", pins_.MapPath(name));
  int raw = fd.Get();
  fds_.insert_or_assign(std::string(name), std::move(fd));
  return raw;
}

Result<void> Pinned::OpenTables() {
  auto schema_fd = Table(schema_table::kName, false);
  if (!schema_fd) return std::unexpected(schema_fd.error());
  auto schema_info = ebpf::GetMapInfo(*schema_fd);
  if (!schema_info) return std::unexpected(schema_info.error());
  uint32_t zero = 0;
  // The version is the first word of every schema, whatever its size.
  std::vector<std::byte> bytes(std::max<size_t>(schema_info->value_size, sizeof(schema_)));
  if (bpf_map_lookup_elem(*schema_fd, &zero, bytes.data()) != 0) return FailErrno(errno, "schema: lookup");
  std::memcpy(&schema_, bytes.data(), sizeof(schema_));
  if (schema_.version != FAIRLEAD_SCHEMA_VERSION || schema_info->value_size != sizeof(schema_)) {
    return Fail(ErrorKind::kUnsupported,
                "{}: the tables have schema {}, this fairleadctl reads schema {}; use that "
                "of the agent's release",
                pins_.dir(), schema_.version, FAIRLEAD_SCHEMA_VERSION);
  }

  Result<void> outcome;
  auto map = [&]<typename T, typename Value>(T table, ebpf::SharedArray<Value>& array) {
    if (!outcome) return;
    auto fd = Table(T::kName, true);
    outcome = fd ? Map(*fd, table, array) : std::unexpected(fd.error());
  };
  map(frontends_table{}, frontends_);
  map(backends_table{}, backends_);
  map(rings_table{}, rings_);
  map(service_cidrs_table{}, service_cidrs_);
  map(pod_cidrs_table{}, pod_cidrs_);
  map(conntrack_table{}, conntrack_);
  map(flow_tags_table{}, flow_tags_);
  map(service_traffic_table{}, service_traffic_);
  map(backend_traffic_table{}, backend_traffic_);
  if (!outcome) return outcome;
  for (const char* name :
       {services_table::kName, source_ranges_table::kName, affinity_table::kName, counters_table::kName}) {
    if (auto fd = Table(name, false); !fd) return std::unexpected(fd.error());
  }

  // While tables are replaced there is no schema, or another one: then what was opened may be of both.
  Fd again = OpenForReading(pins_.MapPath(schema_table::kName));
  auto info =
      again ? ebpf::GetMapInfo(again.Get()) : Result<ebpf::MapInfo>(FailErrno(errno, "schema: open again"));
  if (!info) return std::unexpected(info.error());
  if (info->id != schema_info->id)
    return Fail(ErrorKind::kNotFound, "{}: the tables are being replaced", pins_.dir());
  return {};
}

Result<Pinned> Pinned::Open(const std::string& bpffs_dir) {
  Result<void> opened;
  for (int attempt = 0; attempt < kReplacementTries; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kReplacementPause);
    Pinned pinned(bpffs_dir);
    opened = pinned.OpenTables();
    if (opened) return pinned;
    if (opened.error().kind != ErrorKind::kNotFound) break;
    if (pinned.pins_.Links().empty()) {
      return Fail(
          ErrorKind::kNotFound,
          "nothing of fairlead is pinned under {}: either it does not serve on this node, or --bpffs-dir "
          "is another one",
          bpffs_dir);
    }
  }
  Error error = opened.error();
  if (error.code == EPERM || error.code == EACCES) error.message += " (expected root, or CAP_BPF)";
  return std::unexpected(std::move(error));
}

Result<Snapshot> Pinned::ReadSnapshot() const {
  ebpf::KernelTable<services_table> services(fds_.at(services_table::kName).Get());
  ebpf::KernelTable<source_ranges_table> source_ranges(fds_.at(source_ranges_table::kName).Get());
  auto ranges = ebpf::GetMapInfo(fds_.at(source_ranges_table::kName).Get());
  if (!ranges) return std::unexpected(ranges.error());
  ebpf::Tables tables;
  tables.hash_seed = schema_.hash_seed;
  tables.frontends = frontends_.elements();
  tables.backends = backends_.elements();
  tables.rings = rings_.elements();
  tables.service_cidrs = service_cidrs_.elements();
  tables.pod_cidrs = pod_cidrs_.elements();
  tables.service_traffic = service_traffic_.elements();
  tables.backend_traffic = backend_traffic_.elements();
  tables.services = &services;
  tables.source_ranges = &source_ranges;
  tables.source_range_capacity = ranges->max_entries;
  auto snapshot = ReadTables(tables);
  if (!snapshot) return snapshot;

  int affinity = fds_.at(affinity_table::kName).Get();
  auto info = ebpf::GetMapInfo(affinity);
  if (!info) return std::unexpected(info.error());
  auto clients = CountKeys(affinity, info->max_entries);
  if (!clients) return std::unexpected(clients.error());
  snapshot->tables.push_back({affinity_table::kName, *clients, info->max_entries});
  const ebpf::FlowTable flows({conntrack_.elements(), flow_tags_.elements()}, {});
  uint64_t entries = 0;
  for (size_t set = 0; set < flows.sets(); ++set) entries += std::popcount(flows.Used(set));
  snapshot->tables.push_back({conntrack_table::kName, entries, flows.capacity()});
  return snapshot;
}

Result<std::map<uint32_t, plan::ServicePortKey>> Pinned::ReadServices() const {
  return ReadServiceNames(ebpf::KernelTable<services_table>(fds_.at(services_table::kName).Get()));
}

Result<std::vector<Counter>> Pinned::ReadCounters() const {
  int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return FailErrno(-cpus, "possible CPUs");
  std::vector<counter> per_cpu(static_cast<size_t>(cpus));
  std::vector<Counter> counters;
  for (uint32_t program = 0; program < PROGRAM_COUNT; ++program) {
    for (uint32_t verdict = 0; verdict < VERDICT_COUNT; ++verdict) {
      uint32_t index = program * VERDICT_COUNT + verdict;
      if (bpf_map_lookup_elem(fds_.at(counters_table::kName).Get(), &index, per_cpu.data()) != 0) {
        return FailErrno(errno, "counters: lookup of {}", index);
      }
      uint64_t sum = 0;
      for (const counter& c : per_cpu) sum += c.count;
      const VerdictWords& words = Verdicts()[verdict];
      counters.push_back({Programs()[program], words.name, words.action, words.meaning, sum});
    }
  }
  return counters;
}

Result<Status> Pinned::ReadStatus() const {
  Status status;
  status.bpffs_dir = pins_.dir();
  status.schema_version = schema_.version;
  status.agent_pid = schema_.agent_pid;
  status.agent_started_s = static_cast<int64_t>(schema_.agent_started);
  status.agent_visible = IsAgent(schema_.agent_pid);
  status.cgroup_id = schema_.cgroup_id;
  status.cgroup_path = FindCgroup(schema_.cgroup_id);
  auto links = ReadLinks(pins_);
  if (!links) return std::unexpected(links.error());
  status.links = std::move(*links);
  status.missing_hooks = MissingHooks(status.links, status.cgroup_id);
  return status;
}

}  // namespace fairlead::ctl
