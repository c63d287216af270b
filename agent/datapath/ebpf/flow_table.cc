// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/flow_table.h"

#include <atomic>
#include <bit>
#include <cstring>
#include <iterator>

namespace fairlead::ebpf {

namespace {

constexpr int kTries = 8;

static_assert(std::endian::native == std::endian::little, "byte i of the tags is at address i");

// Loads work on memory mapped for reading only: integers of these sizes are loaded by one instruction.
template <typename Integer>
std::atomic_ref<Integer> Shared(const Integer& of) {
  static_assert(std::atomic_ref<Integer>::is_always_lock_free);
  return std::atomic_ref<Integer>(const_cast<Integer&>(of));
}

std::atomic_ref<uint8_t> Tag(const flow_tags& set, size_t way) {
  return Shared(reinterpret_cast<const uint8_t*>(&set.tags)[way]);
}

using AnyWord [[gnu::may_alias]] = uint64_t;
static_assert(sizeof(flow) % sizeof(AnyWord) == 0);

// Each load before whatever is loaded after it.
flow Copy(const flow& from) {
  flow to;
  auto* source = reinterpret_cast<const AnyWord*>(&from);
  auto* target = reinterpret_cast<AnyWord*>(&to);
  for (size_t i = 0; i < sizeof(flow) / sizeof(AnyWord); ++i) {
    target[i] = __atomic_load_n(&source[i], __ATOMIC_ACQUIRE);
  }
  return to;
}

bool SameKey(const flow_key& a, const flow_key& b) {
  return std::memcmp(&a, &b, sizeof(flow_key)) == 0;
}

}  // namespace

std::string_view FlowStateName(uint8_t state) {
  static constexpr std::string_view kNames[] = {"free",      "established", "stream", "half_closed",
                                                "unreplied", "syn",         "closed"};
  static_assert(std::size(kNames) == FLOW_STATES);
  return state < FLOW_STATES ? kNames[state] : "unknown";
}

unsigned FlowTable::Used(size_t set) const {
  uint64_t tags = Shared(sets_.tags[set].tags).load(std::memory_order_acquire);
  unsigned used = 0;
  for (unsigned way = 0; way < FLOW_WAYS; ++way) {
    if (tags >> (8 * way) & 0xff) used |= 1U << way;
  }
  return used;
}

FlowTable::Glance FlowTable::Look(Place place) const {
  const flow& entry = sets_.entries[place.set].entry[place.way];
  return {Shared(entry.sequence).load(std::memory_order_acquire),
          Shared(entry.last_seen).load(std::memory_order_relaxed),
          Shared(entry.state).load(std::memory_order_relaxed)};
}

ip_addr FlowTable::Destination(Place place) const {
  const ip_addr& at = sets_.entries[place.set].entry[place.way].key.dst;
  ip_addr address{};
  for (size_t i = 0; i < std::size(address.halves); ++i)
    address.halves[i] = Shared(at.halves[i]).load(std::memory_order_relaxed);
  return address;
}

std::optional<FlowTable::Entry> FlowTable::Read(Place place) const {
  const flow& entry = sets_.entries[place.set].entry[place.way];
  for (int attempt = 0; attempt < kTries; ++attempt) {
    uint32_t before = Shared(entry.sequence).load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    if (Tag(sets_.tags[place.set], place.way).load(std::memory_order_acquire) == 0) return std::nullopt;
    Entry read{place, Copy(entry)};
    if (Shared(entry.sequence).load(std::memory_order_relaxed) == before) {
      read.value.sequence = before;
      return read;
    }
  }
  return std::nullopt;
}

std::optional<FlowTable::Entry> FlowTable::Find(const flow_key& key) const {
  if (sets_.size() == 0) return std::nullopt;
  const auto mask = static_cast<uint32_t>(sets_.size() - 1);
  const uint64_t hash = flow_hash(&key, reinterpret_cast<const __u64*>(keys_.data()));
  const uint8_t tag = flow_tag(hash);
  for (size_t set : {flow_first_set(hash, mask), flow_second_set(hash, mask)}) {
    for (size_t way = 0; way < FLOW_WAYS; ++way) {
      if (Tag(sets_.tags[set], way).load(std::memory_order_acquire) != tag) continue;
      auto entry = Read({set, way});
      if (entry && SameKey(entry->value.key, key)) return entry;
    }
  }
  return std::nullopt;
}

std::optional<FlowTable::Entry> FlowTable::Mate(const flow& of) const {
  auto mate = Find(MateKey(of));
  if (!mate || !SameKey(MateKey(mate->value), of.key)) return std::nullopt;
  return mate;
}

std::set<uint32_t> FlowTable::Devices() const {
  std::set<uint32_t> devices;
  for (size_t set = 0; set < sets_.size(); ++set) {
    for (unsigned used = Used(set), way = 0; used != 0; used >>= 1, ++way) {
      const flow& entry = sets_.entries[set].entry[way];
      const uint8_t egress = Shared(entry.egress).load(std::memory_order_relaxed);
      if (used % 2 == 0 || egress == EGRESS_UNKNOWN || egress == EGRESS_STACK) continue;
      devices.insert(Shared(entry.ifindex).load(std::memory_order_relaxed));
    }
  }
  return devices;
}

bool FlowTable::Free(const Entry& entry, bool if_idle) {
  flow& at = sets_.entries[entry.place.set].entry[entry.place.way];
  uint32_t sequence = entry.value.sequence;
  const uint32_t taken = sequence + 1;
  if (!Shared(at.sequence).compare_exchange_strong(sequence, taken, std::memory_order_acq_rel)) return false;
  const bool touched = Shared(at.last_seen).load(std::memory_order_relaxed) != entry.value.last_seen;
  const bool free = !(if_idle && touched);
  if (free) {
    Tag(sets_.tags[entry.place.set], entry.place.way).store(0, std::memory_order_release);
    Shared(at.state).store(FLOW_FREE, std::memory_order_relaxed);
  }
  // An entry that is kept gets its next even number too: whoever was reading it reads once more.
  Shared(at.sequence).store(taken + 1, std::memory_order_release);
  return free;
}

flow_key FlowTable::MateKey(const flow& of) {
  flow_key key{};
  key.src = of.to_dst;
  key.dst = of.to_src;
  key.sport = of.to_dport;
  key.dport = of.to_sport;
  key.proto = of.key.proto;
  return key;
}

}  // namespace fairlead::ebpf
