// SPDX-License-Identifier: Apache-2.0
// The flow table as seen from user space: the protocol of maps/conntrack.h over shared memory that the
// programs write at the same time. Reads and frees entries, never makes one. Does not own the memory; safe
// from several threads and processes at once. Over memory mapped for reading only, everything but Free works.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string_view>

#include "maps/conntrack.h"

namespace fairlead::ebpf {

using FlowKeys = std::array<uint64_t, 6>;  // schema.flow_keys

// Of enum flow_state: "established", "half_closed"; "unknown" for what is none.
std::string_view FlowStateName(uint8_t state);

// The table's two arrays, of the same number of elements: a power of two. Does not own.
struct FlowSets {
  std::span<flow_set> entries;
  std::span<flow_tags> tags;

  size_t size() const { return entries.size(); }
};

class FlowTable {
 public:
  struct Place {
    size_t set = 0;
    size_t way = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };
  // An entry as it was at one moment.
  struct Entry {
    Place place;
    flow value{};
  };
  // The words that a collector needs of every entry, from the first of its cache lines. Not one moment's.
  struct Glance {
    uint32_t sequence = 0;
    uint32_t last_seen = 0;
    uint8_t state = FLOW_FREE;
    bool Busy() const { return sequence % 2 != 0; }
  };

  FlowTable() = default;
  FlowTable(FlowSets sets, const FlowKeys& keys) : sets_(sets), keys_(keys) {}

  size_t sets() const { return sets_.size(); }
  size_t capacity() const { return sets_.size() * FLOW_WAYS; }

  // Bit i: way i of the set is in use or being written.
  unsigned Used(size_t set) const;
  Glance Look(Place place) const;
  // Of the entry's key; of an entry that is being written perhaps of two keys.
  ip_addr Destination(Place place) const;
  // Nothing for a free entry, and for one that is being written all the time.
  std::optional<Entry> Read(Place place) const;
  std::optional<Entry> Find(const flow_key& key) const;
  // The entry for the other direction, if both name each other: what merely has the key is another flow's.
  std::optional<Entry> Mate(const flow& of) const;
  // The devices by which entries send their packets out. A look at the whole table without its protocol: an
  // entry that changes meanwhile may count or not.
  std::set<uint32_t> Devices() const;

  // Frees the entry if it is the one that was read. With `if_idle`, only if no packet came since.
  bool Free(const Entry& entry, bool if_idle);

  // The key of the entry for the other direction.
  static flow_key MateKey(const flow& of);

 private:
  FlowSets sets_;
  FlowKeys keys_{};
};

}  // namespace fairlead::ebpf
