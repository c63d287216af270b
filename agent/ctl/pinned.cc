// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/pinned.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "agent/ctl/host.h"
#include "agent/ctl/read.h"
#include "fairlead/verdict.h"
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
  // Keys only: looking a value up would make an LRU believe that its client is still there. Rows that come
  // and go meanwhile can start the walk again.
  while (count < at_most && bpf_map_get_next_key(fd, at, &next) == 0) {
    ++count;
    key = next;
    at = &key;
  }
  if (count < at_most && errno != ENOENT) return FailErrno(errno, "{}: next key", affinity_table::kName);
  return count;
}

constexpr struct {
  const char* program;
  bpf_attach_type hook;
} kHooks[] = {
    {"sock_connect4", BPF_CGROUP_INET4_CONNECT},         {"sock_connect6", BPF_CGROUP_INET6_CONNECT},
    {"sock_sendmsg4", BPF_CGROUP_UDP4_SENDMSG},          {"sock_sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
    {"sock_recvmsg4", BPF_CGROUP_UDP4_RECVMSG},          {"sock_recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
    {"sock_getpeername4", BPF_CGROUP_INET4_GETPEERNAME}, {"sock_getpeername6", BPF_CGROUP_INET6_GETPEERNAME},
    {"sock_release", BPF_CGROUP_INET_SOCK_RELEASE},
};

std::string HookName(uint32_t attach_type) {
  const char* name = libbpf_bpf_attach_type_str(static_cast<bpf_attach_type>(attach_type));
  return name ? name : fmt::format("attach type {}", attach_type);
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
  auto snapshot = ReadTables({schema_.hash_seed, frontends_.elements(), backends_.elements(),
                              rings_.elements(), service_cidrs_.elements(), service_traffic_.elements(),
                              backend_traffic_.elements(), &services, &source_ranges, ranges->max_entries});
  if (!snapshot) return snapshot;

  int affinity = fds_.at(affinity_table::kName).Get();
  auto info = ebpf::GetMapInfo(affinity);
  if (!info) return std::unexpected(info.error());
  auto clients = CountKeys(affinity, info->max_entries);
  if (!clients) return std::unexpected(clients.error());
  snapshot->tables.push_back({affinity_table::kName, *clients, info->max_entries});
  return snapshot;
}

Result<std::vector<Counter>> Pinned::ReadCounters() const {
  static constexpr const char* kActions[] = {"pass", "reject", "drop"};
  static constexpr struct {
    const char* name;
    action what;
    const char* meaning;
  } kVerdicts[] = {
#define X(name, action, meaning) {#name, ACTION_##action, meaning},
      FAIRLEAD_VERDICTS(X)
#undef X
  };
  static constexpr const char* kPrograms[] = {
#define X(name, text) text,
      FAIRLEAD_PROGRAMS(X)
#undef X
  };
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
      const auto& row = kVerdicts[verdict];
      counters.push_back({kPrograms[program], row.name, kActions[row.what], row.meaning, sum});
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
  for (const std::string& name : pins_.Links()) {
    Fd link = OpenForReading(pins_.LinkPath(name));
    // BPF_OBJ_GET takes no access mode for links (kernel/bpf/inode.c).
    if (!link) link = Fd(bpf_obj_get(pins_.LinkPath(name).c_str()));
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    if (!link) return FailErrno(errno, "{}", pins_.LinkPath(name));
    if (bpf_obj_get_info_by_fd(link.Get(), &info, &size) != 0) return FailErrno(errno, "{}: link info", name);
    status.links.push_back(
        {name, HookName(info.cgroup.attach_type), info.id, info.prog_id, info.cgroup.cgroup_id});
  }
  std::sort(status.links.begin(), status.links.end(),
            [](const Link& a, const Link& b) { return a.name < b.name; });
  for (const auto& hook : kHooks) {
    bool works = std::any_of(status.links.begin(), status.links.end(), [&](const Link& link) {
      return link.name == hook.program && link.cgroup_id != 0 && link.cgroup_id == status.cgroup_id &&
             link.hook == HookName(hook.hook);
    });
    if (!works) status.missing_hooks.push_back(HookName(hook.hook));
  }
  return status;
}

}  // namespace fairlead::ctl
