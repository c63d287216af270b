// SPDX-License-Identifier: Apache-2.0
// Runs of backends in the arena, with their rings and backend ids: made whole before anybody points at them,
// never changed afterwards, freed after a grace period. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/arena.h"
#include "agent/datapath/ebpf/encode.h"
#include "agent/datapath/ebpf/ids.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/store.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::ebpf {

// What a run is to hold.
struct RunContent {
  uint32_t service_id = 0;
  uint8_t proto = 0;
  uint8_t algorithm = ALGORITHM_RANDOM;
  uint32_t affinity_timeout_s = 0;
  uint32_t source_set = 0;
  RunBackends backends;
};

// Where a run stands.
struct RunPlace {
  uint32_t offset = 0;  // of the head
  uint16_t count = 0;   // offered backends
  uint8_t algorithm = ALGORITHM_RANDOM;

  friend bool operator==(const RunPlace&, const RunPlace&) = default;
};

class Runs {
 public:
  Runs(const Tables& tables, Store& store, Reclaimer& reclaimer);

  // Writes a run of this content, or returns one of `standing` that already holds it. kExhausted names the
  // table that is full. `replaces`: the records that the same service will free: within them the reserve may
  // be used.
  Result<RunPlace> Make(const RunContent& content, std::span<const RunPlace> standing, uint32_t replaces);
  // Room for so many more backends, so that a large batch does not rehash on the way.
  void Expect(size_t backends) {
    size_t all = backends_.size() + backends;
    if (all > backends_.bucket_count())
      backends_.reserve(all);  // never down: that would rehash on every change
  }
  // Frees the run once no program can see it. Nothing may point at it any more.
  void Release(const RunPlace& place, uint8_t proto);

  // Takes over a run that a frontend of an earlier start points at. kInvalid if the memory holds no such run,
  // or it overlaps another.
  Result<void> Adopt(const RunPlace& place, uint8_t proto);

  // Keeps the ids of these backends, of other tables that this one replaces, until ForgetUnused.
  void InheritIds(std::span<const record> backends, uint8_t proto);
  void ForgetUnused();

  const run& Head(const RunPlace& place) const { return tables_.backends[place.offset].run; }

  const Arena& records() const { return records_; }
  const Arena& ring_chunks() const { return ring_chunks_; }
  const IdPool& backend_ids() const { return backend_ids_; }

 private:
  struct BackendKey {
    Address address;
    __be16 port;
    uint8_t proto;
    friend bool operator==(const BackendKey&, const BackendKey&) = default;
  };
  struct BackendKeyHash {
    size_t operator()(const BackendKey& key) const {
      return std::hash<Address>()(key.address) ^ (size_t{key.port} << 17) ^ (size_t{key.proto} << 3);
    }
  };
  struct Named {
    uint32_t id;
    uint32_t uses;
  };

  Result<uint32_t> Use(const BackendKey& key);
  void Unuse(const BackendKey& key);
  Result<std::vector<record>> Encode(const RunContent& content);
  bool Holds(const RunPlace& place, const std::vector<record>& wanted) const;
  Result<void> MakeRing(const RunContent& content, std::vector<record>& records);
  void UnuseAll(std::span<const record> backends, uint8_t proto);

  Tables tables_;
  Store& store_;
  Reclaimer& reclaimer_;
  Arena records_;
  Arena ring_chunks_;
  IdPool backend_ids_;
  std::unordered_map<BackendKey, Named, BackendKeyHash> backends_;
};

}  // namespace fairlead::ebpf
