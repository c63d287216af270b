// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <ctime>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/clock.h"
#include "agent/datapath/ebpf/clsact.h"
#include "agent/datapath/ebpf/destinations.h"
#include "agent/datapath/ebpf/program_config.h"
#include "agent/datapath/ebpf/verdict_counts.h"
#include "maps/affinity.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace fairlead::ebpf {

namespace {

constexpr const char* kExplain = "tc_explain";

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

Result<NodeConstants> ReadNodeConstants() {
  auto cookie = NetnsCookie();
  if (!cookie) return std::unexpected(cookie.error());
  auto clock = Clock::Open();
  if (!clock) return std::unexpected(clock.error());
  return NodeConstants{*cookie, clock->jiffies_per_s()};
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  if (::getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) seed = static_cast<uint64_t>(::time(nullptr));
  return seed;
}

// Tables that hold the plan, or whose rows only mean something beside it, are made anew together; all others
// go on as they are.
bool HoldsThePlan(std::string_view table) {
  static constexpr std::string_view kPlan[] = {
      frontends_table::kName,       backends_table::kName,      rings_table::kName,
      services_table::kName,        service_cidrs_table::kName, pod_cidrs_table::kName,
      source_ranges_table::kName,   affinity_table::kName,      service_traffic_table::kName,
      backend_traffic_table::kName, schema_table::kName};
  return std::ranges::find(kPlan, table) != std::end(kPlan);
}

template <typename... Args>
void WarnAfresh(fmt::format_string<Args...> found, Args&&... args) {
  spdlog::warn(
      "{}: they serve until new ones are complete; flows, remembered clients and UDP sockets start afresh",
      fmt::format(found, std::forward<Args>(args)...));
}

// Of each flow there is, before programs look for one.
void AddDestinations(const Tables& tables) {
  const FlowTable flows(tables.conntrack, tables.flow_keys);
  Destinations destinations(tables.destinations, tables.flow_keys);
  Store store;
  for (size_t set = 0; set < flows.sets(); ++set) {
    for (unsigned used = flows.Used(set), way = 0; used != 0; used >>= 1, ++way) {
      if (used % 2 != 0) destinations.Add(flows.Destination({set, way}), store);
    }
  }
}

Fd Duplicate(const Fd& fd) {
  return Fd(::fcntl(fd.Get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace

Kernel::Kernel(const KernelOptions& options)
    : pins_(options.bpffs_dir), affinity_capacity_(options.capacities.affinity) {}

Kernel::~Kernel() = default;

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
  auto node = ReadNodeConstants();
  if (!node) return std::unexpected(node.error());
  auto objects = Objects::Open(options.xdp);
  if (!objects) return std::unexpected(objects.error());
  objects_ = std::move(*objects);
  objects_->SetSizes(TableSizes(options.capacities));

  std::unique_ptr<TableSet> found = FindPinned();
  schema old_schema = schema_;
  TakeSchema(found.get());
  const auto sizes = objects_->Tables();
  tables_ = std::make_unique<TableSet>();
  for (const auto& [name, entries] : sizes) {
    if (!found || (!adopted_ && HoldsThePlan(name))) continue;
    const Fd& fd = found->fds.at(name);
    auto info = GetMapInfo(fd.Get());
    if (info && info->max_entries == entries) tables_->fds.emplace(name, Duplicate(fd));
  }
  // Bits are of one table's flows: those of the old programs' would not be kept.
  if (!tables_->fds.contains(conntrack_table::kName)) tables_->fds.erase(destinations_table::kName);
  config_ = ProgramConfig(schema_, *node, options.conntrack, options.pod_devices_are_pods,
                          options.direct_delivery, options.leave_established);
  if (auto loaded = objects_->Load(config_, tables_->fds); !loaded) return loaded;
  if (auto mapped = tables_->Map(schema_); !mapped) return mapped;
  if (found && !adopted_) {
    if (auto mapped = found->Map(old_schema); !mapped) return mapped;
    old_ = std::move(found);
  }
  return {};
}

// The pinned row of `schema` into schema_. False if there is none of this build's version, which it says
// unless nothing is pinned at all.
bool Kernel::ReadSchema() {
  uint32_t zero = 0;
  Fd pinned = pins_.OpenMap(schema_table::kName);
  if (!pinned) {
    auto is_pinned = [this](const auto& table) { return pins_.OpenMap(table.first).Valid(); };
    if (std::ranges::any_of(objects_->Tables(), is_pinned))
      WarnAfresh("{}: tables without {} found", pins_.dir(), schema_table::kName);
    return false;
  }
  auto schema_info = GetMapInfo(pinned.Get());
  // The version is the first word of every schema, whatever its size.
  std::vector<std::byte> bytes(std::max<size_t>(schema_info ? schema_info->value_size : 0, sizeof(schema_)));
  bool read = bpf_map_lookup_elem(pinned.Get(), &zero, bytes.data()) == 0;
  std::memcpy(&schema_, bytes.data(), sizeof(schema_));
  if (!read || schema_.version != FAIRLEAD_SCHEMA_VERSION) {
    WarnAfresh("{}: tables of schema {} found, this build has {}", pins_.dir(), schema_.version,
               FAIRLEAD_SCHEMA_VERSION);
    return false;
  }
  return true;
}

// The pinned tables, if they are a whole set of this schema; their row of `schema` in schema_. Sets adopted_
// if all have the size they should.
std::unique_ptr<TableSet> Kernel::FindPinned() {
  if (!ReadSchema()) return nullptr;
  auto found = std::make_unique<TableSet>();
  adopted_ = true;
  for (const auto& [name, entries] : objects_->Tables()) {
    Fd table = pins_.OpenMap(name);
    auto info = table ? GetMapInfo(table.Get()) : Fail(ErrorKind::kNotFound, "no pin");
    if (!info) {  // a start that was cut off, or somebody's hand
      WarnAfresh("{}: tables without {} found ({})", pins_.dir(), name, info.error().message);
      adopted_ = false;
      return nullptr;
    }
    if (info->max_entries != entries) {
      spdlog::info("{}: {} entries found, {} configured: the tables are made anew", name, info->max_entries,
                   entries);
      adopted_ = false;
    }
    found->fds.emplace(name, std::move(table));
  }
  return found;
}

// The schema to go on with: the one found where its tables are adopted, else a new one. Flows go on in any
// case, and with them the keys of their hash.
void Kernel::TakeSchema(const TableSet* found) {
  if (adopted_) return;
  const schema before = schema_;
  const auto sizes = objects_->Tables();
  schema_ = {};
  schema_.version = FAIRLEAD_SCHEMA_VERSION;
  schema_.frontend_slots = sizes.at(frontends_table::kName);
  schema_.flow_sets = sizes.at(conntrack_table::kName);
  schema_.hash_seed = RandomSeed();
  for (size_t i = 0; i < std::size(schema_.flow_keys); ++i)
    schema_.flow_keys[i] = found ? before.flow_keys[i] : RandomSeed() | 1;
}

Result<void> Kernel::Commit() {
  if (auto taken = TakeOverTables(); !taken) return taken;
  if (auto attached = AttachSockets(); !attached) return attached;
  schema_.cgroup_id = cgroup_.id;
  schema_.agent_started = static_cast<uint64_t>(::time(nullptr));
  schema_.agent_pid = static_cast<uint32_t>(::getpid());
  uint32_t zero = 0;
  if (bpf_map_update_elem(table_fd(schema_table::kName), &zero, &schema_, BPF_ANY) != 0)
    return FailErrno(errno, "schema: update");
  if (!adopted_) {
    if (auto pinned = PinTables(); !pinned) return pinned;
    adopted_ = true;
  }
  const bpf_program* explain = objects_->Program(kExplain);
  return explain ? Pins::Pin(bpf_program__fd(explain), pins_.ProgramPath(kExplain)) : Result<void>();
}

// Counts and clients once: socket programs write to the new tables from then on. Flows each time: the
// programs on devices change over last.
Result<void> Kernel::TakeOverTables() {
  if (!old_) return {};
  if (!carried_over_) {
    if (auto carried = CarryOver(*old_, *tables_); !carried) return carried;
    carried_over_ = true;
  }
  const auto& from = old_->tables().conntrack;
  const auto& to = tables_->tables().conntrack;
  if (from.size() == to.size()) return {};  // the same table
  if (size_t lost = CopyFlows(from, to, schema_); lost > 0)
    spdlog::warn("{}: {} entries found no place in the new table", conntrack_table::kName, lost);
  AddDestinations(tables_->tables());
  return {};
}

Result<void> Kernel::AttachSockets() {
  std::vector<std::string> links = pins_.Links();
  for (const bpf_program* program : objects_->SocketPrograms()) {
    if (auto attached = pins_.Attach(program, cgroup_.fd.Get()); !attached) return attached;
    std::erase(links, bpf_program__name(program));
  }
  // Programs of another version that this one does not have.
  for (const std::string& name : links) {
    if (LinkName::Parse(name).device.empty()) pins_.Detach(name);
  }
  return {};
}

// Without a schema pin the set counts as incomplete: it goes first and comes last.
Result<void> Kernel::PinTables() {
  pins_.UnpinMap(schema_table::kName);
  for (const auto& [name, fd] : tables_->fds) {
    if (name == schema_table::kName) continue;
    if (auto pinned = pins_.PinMap(fd.Get(), name); !pinned) return pinned;
  }
  return pins_.PinMap(table_fd(schema_table::kName), schema_table::kName);
}

Result<PacketPrograms> Kernel::packet_programs() const {
  Result<void> outcome;
  auto take = [&](const char* name) {
    DeviceProgram taken{name, -1, 0};
    const bpf_program* program = objects_->Program(name);
    if (program) taken.fd = bpf_program__fd(program);
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(taken.fd, &info, &size) != 0 && outcome)
      outcome = FailErrno(errno, "{}: program info", name);
    taken.id = info.id;
    return taken;
  };
  PacketPrograms programs{take("tc_uplink"), take("tc_egress"), take("tc_pod"), std::nullopt};
  if (objects_->Program("xdp_uplink")) programs.xdp = take("xdp_uplink");
  if (!outcome) return std::unexpected(outcome.error());
  return programs;
}

std::vector<datapath::VerdictCount> Kernel::Verdicts() const {
  return ReadVerdicts(table_fd(counters_table::kName));
}

Result<void> Kernel::CleanUp(const std::string& bpffs_dir) {
  libbpf_set_print(LogLibbpf);
  Pins pins(bpffs_dir);
  Fd held;
  if (::access(bpffs_dir.c_str(), F_OK) == 0) {
    auto lock = pins.Lock();  // not under a running agent, which would not notice
    if (!lock) return std::unexpected(std::move(lock.error()).In("--cleanup"));
    held = std::move(*lock);
  }
  auto filters = RemoveFilters(pins);
  auto rest = held ? pins.RemoveAll() : Result<void>();  // a filter that stays keeps nothing else in place
  if (!filters) return std::unexpected(std::move(filters.error()).In("--cleanup"));
  return rest;
}

}  // namespace fairlead::ebpf
