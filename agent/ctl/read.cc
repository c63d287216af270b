// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/read.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "agent/datapath/ebpf/encode.h"
#include "agent/datapath/ebpf/frontend_table.h"

namespace fairlead::ctl {

namespace {

constexpr int kTries = 5;

uint64_t LoadWord(const frontend& value) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(&value), __ATOMIC_ACQUIRE);
}

// Whether the word is still what it was, after everything that was read in between.
bool Unchanged(const frontend& value, uint64_t word) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return LoadWord(value) == word;
}

frontend FromWord(uint64_t word) {
  frontend value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

// One slot with its run, read as one.
struct Entry {
  frontend_key key{};
  uint32_t service_id = 0;
  frontend value{};
  std::vector<record> run;  // the head first; empty for ADDRESS entries and for a run that could not be read
  bool changing = false;
};

// The run that a word points at; empty if there is none of the length that the word implies.
std::vector<record> CopyRun(std::span<const record> arena, const frontend& value, uint32_t service_id) {
  if (value.offset >= arena.size()) return {};
  run head = arena[value.offset].run;
  bool sane = head.kind == RECORD_RUN && head.service_id == service_id &&
              head.length == uint64_t{value.count} + head.draining + 1 &&
              head.length <= arena.size() - value.offset;
  if (!sane) return {};
  auto records = arena.subspan(value.offset, head.length);
  std::vector<record> copy(records.begin(), records.end());
  bool whole = std::all_of(copy.begin() + 1, copy.end(),
                           [](const record& r) { return r.backend.kind == RECORD_BACKEND; });
  return whole ? copy : std::vector<record>{};
}

bool SameRun(const std::vector<record>& a, const std::vector<record>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(record)) == 0;
}

// Nothing if the slot is empty or dead.
std::optional<Entry> ReadSlot(const frontend_slot& slot, std::span<const record> arena) {
  Entry entry;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    uint64_t word = LoadWord(slot.value);
    if (word == 0) return std::nullopt;
    entry.key = ebpf::KeyOf(slot);
    entry.service_id = slot.service_id;
    entry.value = FromWord(word);
    if (entry.key.scope == SCOPE_ADDRESS) {
      if (Unchanged(slot.value, word)) return entry;
      continue;
    }
    entry.run = CopyRun(arena, entry.value, entry.service_id);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    bool steady = !entry.run.empty() && SameRun(entry.run, CopyRun(arena, entry.value, entry.service_id));
    if (steady && Unchanged(slot.value, word)) return entry;
  }
  entry.run.clear();
  entry.changing = true;
  return entry;
}

Scope ScopeOf(const Entry& entry) {
  if (entry.key.scope == SCOPE_EXTERNAL) return Scope::kExternal;
  return entry.value.flags & FRONTEND_TWO_SCOPES ? Scope::kCluster : Scope::kAll;
}

std::string AlgorithmText(uint8_t algorithm) {
  if (algorithm == ALGORITHM_RANDOM) return "random";
  if (algorithm == ALGORITHM_MAGLEV) return "maglev";
  return fmt::format("unknown ({})", algorithm);
}

// Names come out of shared memory: whatever is there must not reach a terminal as control codes.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

plan::ServicePortKey NameOf(const service& row) {
  plan::ServicePortKey key = ebpf::DecodeService(row);
  key.service.ns = Printable(std::move(key.service.ns));
  key.service.name = Printable(std::move(key.service.name));
  key.port = Printable(std::move(key.port));
  return key;
}

uint64_t ConnectionsOf(std::span<const traffic> table, uint32_t id) {
  return id < table.size() ? __atomic_load_n(&table[id].connections, __ATOMIC_RELAXED) : 0;
}

std::vector<Backend> BackendsOf(const std::vector<record>& run_records,
                                std::span<const traffic> traffic_table) {
  std::map<uint32_t, Backend> by_id;  // a weight is so many copies of a record
  const size_t offered_end = run_records.empty() ? 0 : run_records.size() - run_records[0].run.draining;
  for (size_t i = 1; i < run_records.size(); ++i) {
    const backend& from = run_records[i].backend;
    Backend to;
    to.address = Address{from.addr};
    to.port = ebpf::PortFromWire(from.port);
    to.id = from.id;
    to.weight = from.weight;
    to.local = from.flags & BACKEND_LOCAL;
    to.terminating = from.flags & BACKEND_TERMINATING;
    to.draining = i >= offered_end;
    to.connections = ConnectionsOf(traffic_table, from.id);
    by_id.emplace(from.id, to);
  }
  std::vector<Backend> backends;
  for (auto& [id, backend] : by_id) backends.push_back(backend);
  std::sort(backends.begin(), backends.end(), [](const Backend& a, const Backend& b) {
    return std::tie(a.address, a.port) < std::tie(b.address, b.port);
  });
  return backends;
}

std::vector<Cidr> ReadCidrs(std::span<const service_cidr> table) {
  std::vector<Cidr> cidrs;
  for (const service_cidr& element : table) {
    if (__atomic_load_n(&element.in_use, __ATOMIC_ACQUIRE) == 0) break;
    Cidr cidr{Address{element.base}, 0};
    int bits = 0;
    for (uint8_t byte : element.mask.bytes) bits += __builtin_popcount(byte);
    cidr.bits = static_cast<uint8_t>(cidr.GetFamily() == Family::kIpv4 ? std::max(bits - 96, 0) : bits);
    cidrs.push_back(cidr);
  }
  return cidrs;
}

// Rows of each table that the entries, and so the programs, can reach.
std::vector<TableUse> CountUse(const ebpf::Tables& tables, const std::vector<Entry>& entries,
                               uint64_t services, uint64_t source_ranges) {
  std::set<uint32_t> runs;
  std::set<uint32_t> backend_ids;
  uint64_t records = 0;
  uint64_t ring_slots = 0;
  for (const Entry& entry : entries) {
    if (entry.run.empty() || !runs.insert(entry.value.offset).second) continue;
    records += entry.run.size();
    ring_slots += (entry.run[0].run.ring_size + RING_CHUNK_SLOTS - 1) / RING_CHUNK_SLOTS * RING_CHUNK_SLOTS;
    for (size_t i = 1; i < entry.run.size(); ++i) backend_ids.insert(entry.run[i].backend.id);
  }
  auto below = [](size_t size) { return size == 0 ? 0 : size - 1; };  // id 0 is never given
  return {
      {"frontends", entries.size(), tables.frontends.size() / FRONTEND_SLOTS_PER_ENTRY},
      {"backends", records, tables.backends.size()},
      {"backend_ids", backend_ids.size(), below(tables.backend_traffic.size())},
      {"rings", ring_slots, tables.rings.size() * RING_CHUNK_SLOTS},
      {"services", services, below(tables.service_traffic.size())},
      {"source_ranges", source_ranges, tables.source_range_capacity},
  };
}

Frontend MakeFrontend(const Entry& entry, const std::map<uint32_t, plan::ServicePortKey>& names,
                      const std::set<Address>& cluster_ips, const ebpf::Tables& tables) {
  Frontend frontend;
  frontend.service_id = entry.service_id;
  frontend.address = Address{entry.key.addr};
  frontend.port = ebpf::PortFromWire(entry.key.port);
  if (auto name = names.find(entry.service_id); name != names.end()) {
    frontend.service = name->second;
  } else {
    frontend.service.service.name = fmt::format("(service id {})", entry.service_id);
    frontend.service.protocol = static_cast<plan::Protocol>(entry.key.proto);
    frontend.service.family = frontend.address.GetFamily();
  }
  frontend.kind = frontend.address.IsUnspecified()         ? Kind::kNodePort
                  : cluster_ips.contains(frontend.address) ? Kind::kClusterIp
                                                           : Kind::kExternal;
  frontend.scope = ScopeOf(entry);
  frontend.algorithm = AlgorithmText(entry.value.algorithm);
  frontend.drops_if_empty = entry.value.flags & FRONTEND_DROP_IF_EMPTY;
  frontend.source_ranges = entry.value.flags & FRONTEND_SOURCE_RANGES;
  frontend.masquerade = entry.value.flags & FRONTEND_MASQUERADE;
  frontend.run_offset = entry.value.offset;
  frontend.changing = entry.changing;
  frontend.connections = ConnectionsOf(tables.service_traffic, entry.service_id);
  frontend.backends = BackendsOf(entry.run, tables.backend_traffic);
  if (!entry.run.empty() && entry.value.flags & FRONTEND_AFFINITY) {
    frontend.affinity_timeout_s = entry.run[0].run.affinity_timeout_s;
  }
  return frontend;
}

}  // namespace

Result<std::map<uint32_t, plan::ServicePortKey>> ReadServiceNames(
    const ebpf::KeyedTable<services_table>& services) {
  std::map<uint32_t, plan::ServicePortKey> names;
  auto read = services.ForEach(
      [&](const uint32_t& id, const service& row) { names.insert_or_assign(id, NameOf(row)); });
  if (!read) return std::unexpected(std::move(read.error()));
  return names;
}

Result<Snapshot> ReadTables(const ebpf::Tables& tables) {
  std::vector<Entry> entries;
  for (const frontend_slot& slot : tables.frontends) {
    if (auto entry = ReadSlot(slot, tables.backends)) entries.push_back(std::move(*entry));
  }

  // After the frontends: a row is written before the first frontend that names it.
  auto services = ReadServiceNames(*tables.services);
  if (!services) return std::unexpected(std::move(services.error()));
  const std::map<uint32_t, plan::ServicePortKey>& names = *services;
  uint64_t source_range_count = 0;
  auto ranges = tables.source_ranges->ForEach(
      [&](const source_range_key&, const source_range&) { ++source_range_count; });
  if (!ranges) return std::unexpected(std::move(ranges.error()));

  Snapshot snapshot;
  std::set<Address> cluster_ips;
  for (const Entry& entry : entries) {
    if (entry.key.scope != SCOPE_ADDRESS) continue;
    Address address{entry.key.addr};
    if (entry.value.offset & ADDRESS_CLUSTER_IP) cluster_ips.insert(address);
    if (entry.value.offset & (ADDRESS_NODE | ADDRESS_LOOPBACK))
      snapshot.nodeport_addresses.push_back(address);
  }
  for (const Entry& entry : entries) {
    if (entry.key.scope == SCOPE_ADDRESS) continue;
    snapshot.frontends.push_back(MakeFrontend(entry, names, cluster_ips, tables));
  }
  std::sort(snapshot.nodeport_addresses.begin(), snapshot.nodeport_addresses.end());
  std::sort(snapshot.frontends.begin(), snapshot.frontends.end(), [](const Frontend& a, const Frontend& b) {
    return std::tie(a.service, a.kind, a.address, a.port, a.scope) <
           std::tie(b.service, b.kind, b.address, b.port, b.scope);
  });
  snapshot.service_cidrs = ReadCidrs(tables.service_cidrs);
  snapshot.pod_cidrs = ReadCidrs(tables.pod_cidrs);
  snapshot.tables = CountUse(tables, entries, names.size(), source_range_count);
  return snapshot;
}

}  // namespace fairlead::ctl
