// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <ctime>
#include <map>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/memory_tables.h"
#include "fairlead/config.h"
#include "fairlead/verdict.h"
#include "maps/affinity.h"
#include "maps/peers.h"
#include "maps/stream_peers.h"
#include "sock_lb.skel.h"
#include "sock_sweep.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace fairlead::ebpf {

namespace {

int LogLibbpf(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG && !spdlog::should_log(spdlog::level::trace)) return 0;
  char line[8192];
  std::vsnprintf(line, sizeof(line), format, args);
  std::string_view text(line);
  while (text.ends_with('\n')) text.remove_suffix(1);
  auto severity = level == LIBBPF_WARN   ? spdlog::level::warn
                  : level == LIBBPF_INFO ? spdlog::level::debug
                                         : spdlog::level::trace;
  spdlog::log(severity, "libbpf: {}", text);
  return 0;
}

Result<uint64_t> NetnsCookie() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (!socket || ::getsockopt(socket.Get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    return FailErrno(errno, "cookie of this network namespace (SO_NETNS_COOKIE, Linux 5.14)");
  }
  return cookie;
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  if (::getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) seed = static_cast<uint64_t>(::time(nullptr));
  return seed;
}

}  // namespace

std::map<std::string, uint32_t, std::less<>> TableSizes(const Capacities& capacities) {
  return {
      {frontends_table::kName, static_cast<uint32_t>(MemoryTables::SlotsFor(capacities.frontends))},
      {backends_table::kName, capacities.backends},
      {rings_table::kName, capacities.ring_slots / RING_CHUNK_SLOTS},
      {services_table::kName, capacities.services},
      {service_traffic_table::kName, capacities.services + 1},
      {backend_traffic_table::kName, capacities.backends},
      {affinity_table::kName, capacities.affinity},
      {source_ranges_table::kName, capacities.source_ranges},
  };
}

struct Kernel::View {
  std::map<std::string, Fd, std::less<>> fds;
  SharedArray<frontend_slot> frontends;
  SharedArray<record> backends;
  SharedArray<ring_chunk> rings;
  SharedArray<service_cidr> service_cidrs;
  SharedArray<traffic> service_traffic;
  SharedArray<traffic> backend_traffic;
  KernelTable<services_table> services;
  KernelTable<source_ranges_table> source_ranges;
  Tables tables;

  // Maps the arrays of `fds` and sets `tables` up.
  Result<void> Map(const schema& schema) {
    Result<void> outcome;
    auto map = [&]<typename Table, typename Value>(SharedArray<Value>& array, Table) {
      if (!outcome) return;
      auto info = GetMapInfo(fds.at(Table::kName).Get());
      auto mapped =
          info ? SharedArray<Value>::Map(fds.at(Table::kName).Get(), Table::kName, info->max_entries, true)
               : std::unexpected(info.error());
      if (!mapped) {
        outcome = std::unexpected(mapped.error());
        return;
      }
      array = std::move(*mapped);
    };
    map(frontends, frontends_table{});
    map(backends, backends_table{});
    map(rings, rings_table{});
    map(service_cidrs, service_cidrs_table{});
    map(service_traffic, service_traffic_table{});
    map(backend_traffic, backend_traffic_table{});
    if (!outcome) return outcome;
    services = KernelTable<services_table>(fds.at(services_table::kName).Get());
    source_ranges = KernelTable<source_ranges_table>(fds.at(source_ranges_table::kName).Get());
    auto ranges = GetMapInfo(fds.at(source_ranges_table::kName).Get());
    if (!ranges) return std::unexpected(ranges.error());
    tables = {
        schema.hash_seed,         frontends.elements(),       backends.elements(),        rings.elements(),
        service_cidrs.elements(), service_traffic.elements(), backend_traffic.elements(), &services,
        &source_ranges,           ranges->max_entries};
    return {};
  }
};

Kernel::Kernel(const KernelOptions& options) : pins_(options.bpffs_dir) {}

Kernel::~Kernel() {
  if (sweep_link_) bpf_link__destroy(sweep_link_);
  if (sweep_) sock_sweep::destroy(sweep_);
  if (programs_) sock_lb::destroy(programs_);
}

Result<std::unique_ptr<Kernel>> Kernel::Open(const KernelOptions& options) {
  libbpf_set_print(LogLibbpf);
  rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_MEMLOCK,
              &unlimited);  // counts map memory before 5.11; without the right it stays as it is

  std::unique_ptr<Kernel> kernel(new Kernel(options));
  auto cgroup = OpenCgroup(options.cgroup);
  if (!cgroup) return std::unexpected(cgroup.error());
  kernel->cgroup_ = std::move(*cgroup);
  if (auto prepared = kernel->pins_.Prepare(); !prepared) return std::unexpected(prepared.error());
  auto lock = kernel->pins_.Lock();
  if (!lock) return std::unexpected(lock.error());
  kernel->lock_ = std::move(*lock);
  if (auto loaded = kernel->Load(options); !loaded) return std::unexpected(loaded.error());
  return kernel;
}

Result<void> Kernel::Load(const KernelOptions& options) {
  auto cookie = NetnsCookie();
  if (!cookie) return std::unexpected(cookie.error());
  auto sizes = TableSizes(options.capacities);
  affinity_capacity_ = options.capacities.affinity;

  programs_ = sock_lb::open();
  if (!programs_) return FailErrno(errno, "sock_lb: open");
  sweep_ = sock_sweep::open();
  if (!sweep_) return FailErrno(errno, "sock_sweep: open");

  // What is pinned, and whether it fits.
  auto found = std::make_unique<View>();
  bool same_schema = false;
  bool fits = false;
  uint32_t zero = 0;
  if (Fd pinned = pins_.OpenMap(schema_table::kName); pinned) {
    same_schema =
        bpf_map_lookup_elem(pinned.Get(), &zero, &schema_) == 0 && schema_.version == FAIRLEAD_SCHEMA_VERSION;
    if (!same_schema) {
      spdlog::warn(
          "{}: tables of schema {} found, this build has {}: they serve until new ones are complete; "
          "remembered clients and UDP sockets start afresh",
          pins_.dir(), schema_.version, FAIRLEAD_SCHEMA_VERSION);
    }
    fits = same_schema;
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, programs_->obj) {
    std::string name = bpf_map__name(map);
    if (bpf_map__is_internal(map)) continue;
    if (auto it = sizes.find(name); it != sizes.end()) bpf_map__set_max_entries(map, it->second);
    if (!same_schema) continue;
    Fd pinned = pins_.OpenMap(name);
    auto info = pinned ? GetMapInfo(pinned.Get()) : Fail(ErrorKind::kNotFound, "{}: no pin", name);
    if (!info) {
      same_schema = fits = false;  // an incomplete set: a start that was cut off, or somebody's hand
      continue;
    }
    if (info->max_entries != bpf_map__max_entries(map)) {
      spdlog::info("{}: {} entries found, {} configured: the tables are made anew", name, info->max_entries,
                   bpf_map__max_entries(map));
      fits = false;
    }
    found->fds.emplace(name, std::move(pinned));
  }
  adopted_ = fits;
  if (!fits) {
    schema_ = {};
    schema_.version = FAIRLEAD_SCHEMA_VERSION;
    schema_.frontend_slots = sizes.at(frontends_table::kName);
    schema_.hash_seed = RandomSeed();
    for (auto& key : schema_.flow_keys) key = RandomSeed() | 1;
  }
  // Socket storage and counters have no size: they go on in any case.
  bpf_object__for_each_map(map, programs_->obj) {
    std::string name = bpf_map__name(map);
    bool carried = fits || name == connected_peer_table::kName || name == datagram_peers_table::kName ||
                   name == stream_peers_table::kName || name == counters_table::kName;
    if (!same_schema || !carried || bpf_map__is_internal(map)) continue;
    if (bpf_map__reuse_fd(map, found->fds.at(name).Get()) != 0) return FailErrno(errno, "{}: reuse", name);
  }

  programs_->rodata->config.node_netns_cookie = *cookie;
  programs_->rodata->config.hash_seed = schema_.hash_seed;
  programs_->rodata->config.frontend_mask = sizes.at(frontends_table::kName) - 1;
  if (int error = sock_lb::load(programs_); error != 0) return FailErrno(-error, "sock_lb: load");

  view_ = std::make_unique<View>();
  bpf_object__for_each_map(map, programs_->obj) {
    view_->fds.emplace(bpf_map__name(map), Fd(::dup(bpf_map__fd(map))));
  }
  if (auto mapped = view_->Map(schema_); !mapped) return mapped;
  tables_ = view_->tables;
  if (same_schema && !fits) {
    schema old_schema{};
    bpf_map_lookup_elem(found->fds.at(schema_table::kName).Get(), &zero, &old_schema);
    if (auto mapped = found->Map(old_schema); !mapped) return mapped;
    old_ = std::move(found);
  }

  bpf_object__for_each_map(map, sweep_->obj) {
    if (bpf_map__is_internal(map)) continue;
    if (bpf_map__reuse_fd(map, view_->fds.at(bpf_map__name(map)).Get()) != 0) {
      return FailErrno(errno, "{}: share", bpf_map__name(map));
    }
  }
  sweep_->rodata->config.hash_seed = schema_.hash_seed;
  sweep_->rodata->config.frontend_mask = sizes.at(frontends_table::kName) - 1;
  if (int error = sock_sweep::load(sweep_); error != 0) return FailErrno(-error, "sock_sweep: load");
  bpf_iter_link_info over{};
  over.map.map_fd = static_cast<uint32_t>(view_->fds.at(connected_peer_table::kName).Get());
  bpf_iter_attach_opts iterate{};
  iterate.sz = sizeof(iterate);
  iterate.link_info = &over;
  iterate.link_info_len = sizeof(over);
  sweep_link_ = bpf_program__attach_iter(sweep_->progs.find_stale, &iterate);
  if (!sweep_link_) return FailErrno(errno, "sock_sweep: attach");
  return {};
}

const Tables* Kernel::predecessor() const {
  return old_ ? &old_->tables : nullptr;
}

Result<Fd> Kernel::SweepSockets() const {
  Fd pass(bpf_iter_create(bpf_link__fd(sweep_link_)));
  if (!pass) return FailErrno(errno, "sock_sweep: iterate");
  return pass;
}

// Remembered clients and traffic counts, by ids that mean the same in the old tables and the new ones.
Result<void> Kernel::CarryOver() {
  auto copy = [](std::span<const traffic> from, std::span<traffic> to) {
    std::copy_n(from.begin(), std::min(from.size(), to.size()), to.begin());
  };
  copy(old_->tables.service_traffic, tables_.service_traffic);
  copy(old_->tables.backend_traffic, tables_.backend_traffic);
  KernelTable<affinity_table> from(old_->fds.at(affinity_table::kName).Get());
  KernelTable<affinity_table> to(view_->fds.at(affinity_table::kName).Get());
  return from.ForEach([&](const affinity_key& key, const affinity& value) { (void)to.Update(key, value); });
}

Result<void> Kernel::Commit() {
  if (old_ && !carried_over_) {
    if (auto carried = CarryOver(); !carried) return carried;
    carried_over_ = true;
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, programs_->obj) {
    if (auto attached = pins_.Attach(program, cgroup_.fd.Get()); !attached) return attached;
  }
  // Programs of another version that this one does not have.
  std::vector<std::string> links = pins_.Links();
  bpf_object__for_each_program(program, programs_->obj) {
    std::erase(links, bpf_program__name(program));
  }
  for (const std::string& name : links) pins_.Detach(name);
  schema_.cgroup_id = cgroup_.id;
  schema_.agent_started = static_cast<uint64_t>(::time(nullptr));
  schema_.agent_pid = static_cast<uint32_t>(::getpid());
  uint32_t zero = 0;
  int schema_fd = view_->fds.at(schema_table::kName).Get();
  if (bpf_map_update_elem(schema_fd, &zero, &schema_, BPF_ANY) != 0)
    return FailErrno(errno, "schema: update");
  if (!adopted_) {
    // Without a schema pin the set counts as incomplete: it goes first and comes last.
    pins_.UnpinMap(schema_table::kName);
    for (const auto& [name, fd] : view_->fds) {
      if (name == schema_table::kName || name.find('.') != std::string::npos) continue;
      if (auto pinned = pins_.PinMap(fd.Get(), name); !pinned) return pinned;
    }
    if (auto pinned = pins_.PinMap(schema_fd, schema_table::kName); !pinned) return pinned;
    adopted_ = true;
  }
  old_.reset();
  return {};
}

std::vector<datapath::VerdictCount> Kernel::Verdicts() const {
  static constexpr const char* kVerdicts[] = {
#define X(name, action, meaning) #name,
      FAIRLEAD_VERDICTS(X)
#undef X
  };
  static constexpr const char* kPrograms[] = {
#define X(name, text) text,
      FAIRLEAD_PROGRAMS(X)
#undef X
  };
  std::vector<counter> per_cpu(static_cast<size_t>(std::max(libbpf_num_possible_cpus(), 1)));
  std::vector<datapath::VerdictCount> counts;
  int fd = view_->fds.at(counters_table::kName).Get();
  for (uint32_t program = 0; program < PROGRAM_COUNT; ++program) {
    for (uint32_t verdict = 0; verdict < VERDICT_COUNT; ++verdict) {
      uint32_t index = program * VERDICT_COUNT + verdict;
      if (bpf_map_lookup_elem(fd, &index, per_cpu.data()) != 0) continue;
      uint64_t sum = 0;
      for (const counter& c : per_cpu) sum += c.count;
      counts.push_back({kPrograms[program], kVerdicts[verdict], sum});
    }
  }
  return counts;
}

Result<void> Kernel::CleanUp(const std::string& bpffs_dir) {
  Pins pins(bpffs_dir);
  if (::access(bpffs_dir.c_str(), F_OK) != 0) return {};
  auto lock = pins.Lock();  // not under a running agent, which would not notice
  if (!lock) return std::unexpected(std::move(lock.error()).In("--cleanup"));
  return pins.RemoveAll();
}

}  // namespace fairlead::ebpf
