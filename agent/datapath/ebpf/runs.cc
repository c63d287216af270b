// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/runs.h"

#include <algorithm>
#include <cstring>

#include "agent/datapath/ebpf/maglev.h"

namespace fairlead::ebpf {

namespace {

uint32_t RingChunks(uint32_t ring_size) {
  return (ring_size + RING_CHUNK_SLOTS - 1) / RING_CHUNK_SLOTS;
}

// The same on every node: only what the cluster knows of a backend goes in.
uint64_t Identity(const plan::Backend& backend, uint8_t proto) {
  uint64_t h = backend.address.raw.halves[0] * 0x9e3779b97f4a7c15ULL;
  h = (h ^ backend.address.raw.halves[1]) * 0xd6e8feb86659fd93ULL;
  return h ^ (uint64_t{backend.port} << 8 | proto);
}

bool SameRecord(const record& a, const record& b) {
  return std::memcmp(&a, &b, sizeof(record)) == 0;
}

}  // namespace

Runs::Runs(const Tables& tables, Store& store, Reclaimer& reclaimer)
    : tables_(tables),
      store_(store),
      reclaimer_(reclaimer),
      records_(static_cast<uint32_t>(tables.backends.size())),
      ring_chunks_(static_cast<uint32_t>(tables.rings.size())),
      backend_ids_(static_cast<uint32_t>(tables.backend_traffic.size())) {}

Result<uint32_t> Runs::Use(const BackendKey& key) {
  auto it = backends_.find(key);
  if (it == backends_.end()) {
    auto id = backend_ids_.Take();
    if (!id) {
      return Fail(ErrorKind::kExhausted, "backends: all {} ids are in use (capacities.backends)",
                  backend_ids_.capacity());
    }
    traffic none{};
    store_.Publish(tables_.backend_traffic[*id], none);
    it = backends_.emplace(key, Named{*id, 0}).first;
  }
  ++it->second.uses;
  return it->second.id;
}

void Runs::Unuse(const BackendKey& key) {
  auto it = backends_.find(key);
  if (it == backends_.end() || --it->second.uses > 0) return;
  backend_ids_.Give(it->second.id);
  backends_.erase(it);
}

void Runs::UnuseAll(std::span<const record> backends, uint8_t proto) {
  for (const record& r : backends) {
    if (r.backend.kind == RECORD_BACKEND) Unuse({Address{r.backend.addr}, r.backend.port, proto});
  }
}

// Head and backends with ids in use, both parts sorted by id. On error no id stays in use.
Result<std::vector<record>> Runs::Encode(const RunContent& content) {
  const auto& [offered, draining] = content.backends;
  std::vector<record> records(1 + offered.size() + draining.size());
  for (size_t i = 0; i + 1 < records.size(); ++i) {
    const plan::Backend& from = i < offered.size() ? offered[i] : draining[i - offered.size()];
    backend& to = records[i + 1].backend;
    auto id = Use({from.address, PortToWire(from.port), content.proto});
    if (!id) {
      UnuseAll(records, content.proto);
      return std::unexpected(id.error());
    }
    to.addr = from.address.raw;
    to.id = *id;
    to.port = PortToWire(from.port);
    to.weight = from.weight;
    to.flags =
        static_cast<uint8_t>((from.local ? BACKEND_LOCAL : 0) | (from.terminating ? BACKEND_TERMINATING : 0));
    to.kind = RECORD_BACKEND;
  }
  auto by_id = [](const record& a, const record& b) { return a.backend.id < b.backend.id; };
  auto middle = records.begin() + 1 + static_cast<ptrdiff_t>(offered.size());
  std::sort(records.begin() + 1, middle, by_id);
  std::sort(middle, records.end(), by_id);

  run& head = records[0].run;
  head.service_id = content.service_id;
  head.length = static_cast<uint32_t>(records.size());
  head.draining = static_cast<uint32_t>(draining.size());
  head.affinity_timeout_s = content.affinity_timeout_s;
  head.source_set = content.source_set;
  head.kind = RECORD_RUN;
  return records;
}

// Whether the run at `place` holds these records; a ring follows from them, its place does not matter.
bool Runs::Holds(const RunPlace& place, const std::vector<record>& wanted) const {
  std::span<const record> have = tables_.backends.subspan(place.offset, Head(place).length);
  if (have.size() != wanted.size()) return false;
  record head = have[0];
  head.run.ring = 0;
  head.run.ring_size = 0;
  return SameRecord(head, wanted[0]) &&
         std::equal(have.begin() + 1, have.end(), wanted.begin() + 1, SameRecord);
}

Result<void> Runs::MakeRing(const RunContent& content, std::vector<record>& records) {
  // Built in the order all nodes share (by address), then named by place in the run (by id).
  const std::vector<plan::Backend>& offered = content.backends.offered;
  std::vector<MaglevBackend> backends;
  std::vector<uint16_t> place_in_run;
  for (const plan::Backend& backend : offered) {
    backends.push_back({Identity(backend, content.proto), backend.weight});
    uint32_t id = backends_.at({backend.address, PortToWire(backend.port), content.proto}).id;
    auto at =
        std::lower_bound(records.begin() + 1, records.begin() + 1 + static_cast<ptrdiff_t>(offered.size()),
                         id, [](const record& r, uint32_t wanted) { return r.backend.id < wanted; });
    place_in_run.push_back(static_cast<uint16_t>(at - records.begin() - 1));
  }
  uint32_t size = MaglevSize(offered.size());
  auto start = ring_chunks_.Take(RingChunks(size));
  if (!start) {
    return Fail(ErrorKind::kExhausted,
                "rings: no room for {} slots, {} of {} are in use (capacities.ringSlots)", size,
                uint64_t{ring_chunks_.used()} * RING_CHUNK_SLOTS,
                uint64_t{ring_chunks_.capacity()} * RING_CHUNK_SLOTS);
  }
  std::vector<ring_chunk> chunks(RingChunks(size));
  std::vector<uint16_t> table = MaglevTable(backends, size);
  for (uint32_t s = 0; s < size; ++s)
    chunks[s / RING_CHUNK_SLOTS].slot[s % RING_CHUNK_SLOTS] = place_in_run[table[s]];
  store_.Fill(&tables_.rings[*start], chunks.data(), chunks.size() * sizeof(ring_chunk));
  records[0].run.ring = *start;
  records[0].run.ring_size = size;
  return {};
}

Result<RunPlace> Runs::Make(const RunContent& content, std::span<const RunPlace> standing,
                            uint32_t replaces) {
  auto records = Encode(content);
  if (!records) return std::unexpected(records.error());
  auto length = static_cast<uint32_t>(records->size());
  RunPlace place{0, static_cast<uint16_t>(content.backends.offered.size()), content.algorithm};

  for (const RunPlace& other : standing) {
    if (other.count == place.count && other.algorithm == place.algorithm && Holds(other, *records)) {
      UnuseAll(*records, content.proto);  // the standing run has its own uses
      return other;
    }
  }

  // The last sixteenth is for changes that do not grow: a full table can still lose endpoints.
  uint32_t reserve = records_.capacity() / 16;
  std::optional<uint32_t> offset;
  if (length <= replaces || records_.used() + length <= records_.capacity() - reserve)
    offset = records_.Take(length);
  if (!offset) {
    UnuseAll(*records, content.proto);
    return Fail(ErrorKind::kExhausted,
                "backends: no room for {} records, {} of {} are in use (capacities.backends)", length,
                records_.used(), records_.capacity());
  }
  if (content.algorithm == ALGORITHM_MAGLEV && place.count > 0) {
    if (auto made = MakeRing(content, *records); !made) {
      records_.Give(*offset, length);
      UnuseAll(*records, content.proto);
      return std::unexpected(made.error());
    }
  }
  place.offset = *offset;
  store_.Fill(&tables_.backends[*offset], records->data(), records->size() * sizeof(record));
  return place;
}

void Runs::Release(const RunPlace& place, uint8_t proto) {
  reclaimer_.Retire([this, place, proto] {
    std::span<record> records = tables_.backends.subspan(place.offset, Head(place).length);
    const run head = Head(place);
    UnuseAll(records.subspan(1), proto);
    if (head.ring_size > 0) ring_chunks_.Give(head.ring, RingChunks(head.ring_size));
    std::vector<record> nothing(records.size());
    store_.Fill(records.data(), nothing.data(), nothing.size() * sizeof(record));
    records_.Give(place.offset, head.length);
  });
}

Result<void> Runs::Adopt(const RunPlace& place, uint8_t proto) {
  auto broken = [&](std::string_view what) {
    return Fail(ErrorKind::kInvalid, "backends[{}]: {}", place.offset, what);
  };
  if (place.offset >= tables_.backends.size()) return broken("outside the table");
  const run& head = Head(place);
  if (head.kind != RECORD_RUN || head.length == 0 ||
      uint64_t{place.offset} + head.length > tables_.backends.size() ||
      uint64_t{place.count} + head.draining + 1 != head.length) {
    return broken("is no run of the expected length");
  }
  std::span<const record> records = tables_.backends.subspan(place.offset + 1, head.length - 1);
  std::unordered_map<uint32_t, BackendKey> unknown;
  for (const record& r : records) {
    if (r.backend.kind != RECORD_BACKEND) return broken("holds something that is no backend");
    BackendKey key{Address{r.backend.addr}, r.backend.port, proto};
    auto it = backends_.find(key);
    bool sound = it != backends_.end() ? it->second.id == r.backend.id
                                       : backend_ids_.Free(r.backend.id) &&
                                             unknown.emplace(r.backend.id, key).first->second == key;
    if (!sound) return broken("has a backend id that is another backend's");
  }
  if (!records_.Claim(place.offset, head.length)) return broken("overlaps another run");
  if (head.ring_size > 0 && !ring_chunks_.Claim(head.ring, RingChunks(head.ring_size))) {
    records_.Give(place.offset, head.length);
    return broken("has a ring that overlaps another");
  }
  for (const record& r : records) {
    BackendKey key{Address{r.backend.addr}, r.backend.port, proto};
    auto [it, added] = backends_.try_emplace(key, Named{r.backend.id, 0});
    if (added) backend_ids_.Claim(r.backend.id);
    ++it->second.uses;
  }
  return {};
}

void Runs::InheritIds(std::span<const record> backends, uint8_t proto) {
  for (const record& r : backends) {
    BackendKey key{Address{r.backend.addr}, r.backend.port, proto};
    if (r.backend.kind == RECORD_BACKEND && !backends_.contains(key) && backend_ids_.Claim(r.backend.id)) {
      backends_.emplace(key, Named{r.backend.id, 0});
    }
  }
}

void Runs::ForgetUnused() {
  std::erase_if(backends_, [this](const auto& entry) {
    if (entry.second.uses > 0) return false;
    backend_ids_.Give(entry.second.id);
    return true;
  });
}

}  // namespace fairlead::ebpf
