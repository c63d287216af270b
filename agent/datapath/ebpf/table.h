// SPDX-License-Identifier: Apache-2.0
// The tables of maps/ as the writer sees them: memory for the mmap-ed arrays, a small interface for the maps
// that take a system call. Three bodies: the kernel's (kernel_tables.h), memory (memory_tables.h), and faults
// over either.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/flow_table.h"
#include "maps/backends.h"
#include "maps/conntrack.h"
#include "maps/counters.h"
#include "maps/destinations.h"
#include "maps/devices.h"
#include "maps/frontends.h"
#include "maps/nat_ports.h"
#include "maps/pod_cidrs.h"
#include "maps/rings.h"
#include "maps/service_cidrs.h"
#include "maps/services.h"
#include "maps/source_ranges.h"

namespace fairlead::ebpf {

// A key is compared as bytes by the kernel: bytes nobody named must not exist.
template <typename Key>
concept WireKey = std::has_unique_object_representations_v<Key> || std::is_same_v<Key, source_range_key>;

// A map written and read by system calls. Errors are kExhausted when it is full, kUnavailable otherwise.
template <typename Table>
  requires WireKey<typename Table::Key>
class KeyedTable {
 public:
  using Key = typename Table::Key;
  using Value = typename Table::Value;

  virtual ~KeyedTable() = default;
  virtual Result<void> Update(const Key& key, const Value& value) = 0;
  virtual Result<void> Delete(const Key& key) = 0;  // a key that is not there is no error
  virtual Result<void> ForEach(const std::function<void(const Key&, const Value&)>& visit) const = 0;
};

// Everything the agent writes. Does not own.
struct Tables {
  uint64_t hash_seed = 0;
  std::span<frontend_slot> frontends;  // a power of two
  std::span<record> backends;
  std::span<ring_chunk> rings;
  std::span<service_cidr> service_cidrs;
  std::span<traffic> service_traffic;
  std::span<traffic> backend_traffic;
  KeyedTable<services_table>* services = nullptr;
  KeyedTable<source_ranges_table>* source_ranges = nullptr;
  uint32_t source_range_capacity = 0;

  FlowSets conntrack;
  std::span<nat_port_word> nat_ports;
  std::span<service_cidr> pod_cidrs;
  KeyedTable<devices_table>* devices = nullptr;
  std::span<destination_word> destinations;
  FlowKeys flow_keys{};
};

}  // namespace fairlead::ebpf
