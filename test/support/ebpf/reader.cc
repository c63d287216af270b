// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/reader.h"

#include <atomic>
#include <bit>

namespace fairlead::test {

namespace {

uint64_t LoadWord(const void* word) {
  auto& raw = *static_cast<uint64_t*>(const_cast<void*>(word));
  return std::atomic_ref<uint64_t>(raw).load(std::memory_order_acquire);
}

}  // namespace

std::optional<frontend> Reader::Find(const frontend_key& key) const {
  auto mask = static_cast<uint32_t>(tables_.frontends.size() - 1);
  uint32_t first = frontend_hash(&key, tables_.hash_seed);
  for (uint32_t probe = 0; probe < FRONTEND_PROBES; ++probe) {
    const frontend_slot& slot = tables_.frontends[(first + probe) & mask];
    uint64_t word = LoadWord(&slot.value);
    if (word == 0) {
      if (slot.port == 0 && slot.proto == 0 && slot.scope == 0) return std::nullopt;  // empty
      continue;                                                                       // dead
    }
    if (slot.port == key.port && slot.proto == key.proto && slot.scope == key.scope &&
        Address{slot.addr} == Address{key.addr}) {
      return std::bit_cast<frontend>(word);
    }
  }
  return std::nullopt;
}

uint32_t Reader::Roles(const Address& address) const {
  frontend_key key{};
  key.addr = address.raw;
  key.scope = SCOPE_ADDRESS;
  auto found = Find(key);
  return found ? found->offset : 0;
}

const run* Reader::Head(frontend found) const {
  return found.offset < tables_.backends.size() ? &tables_.backends[found.offset].run : nullptr;
}

const backend* Reader::Backend(frontend found, uint32_t i) const {
  uint32_t index = found.offset + 1 + i;
  return index < tables_.backends.size() ? &tables_.backends[index].backend : nullptr;
}

const backend* Reader::Maglev(frontend found, const run& head, uint32_t hash) const {
  auto slot = static_cast<uint32_t>(uint64_t{hash} * head.ring_size >> 32);
  uint32_t index = head.ring + slot / RING_CHUNK_SLOTS;
  if (index >= tables_.rings.size()) return nullptr;
  return Backend(found, tables_.rings[index].slot[slot % RING_CHUNK_SLOTS]);
}

uint32_t Reader::Search(uint32_t first, uint32_t count, uint32_t backend_id) const {
  for (uint32_t step = 0; step < RUN_SEARCH_STEPS && count > 0; ++step) {
    uint32_t half = count / 2;
    uint32_t index = first + half;
    if (index >= tables_.backends.size()) return kNotFound;
    uint32_t id = tables_.backends[index].backend.id;
    if (id == backend_id) return index;
    if (id < backend_id) {
      first = index + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return kNotFound;
}

bool Reader::Holds(frontend found, const run& head, uint32_t backend_id) const {
  uint32_t first = found.offset + 1;
  return Search(first, found.count, backend_id) != kNotFound ||
         Search(first + found.count, head.draining, backend_id) != kNotFound;
}

bool Reader::InServiceCidr(const Address& address) const {
  for (const service_cidr& cidr : tables_.service_cidrs) {
    if (LoadWord(&cidr.in_use) == 0) return false;
    if ((address.raw.halves[0] & cidr.mask.halves[0]) == cidr.base.halves[0] &&
        (address.raw.halves[1] & cidr.mask.halves[1]) == cidr.base.halves[1]) {
      return true;
    }
  }
  return false;
}

}  // namespace fairlead::test
