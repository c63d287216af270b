// SPDX-License-Identifier: Apache-2.0
// The writer's side of `source_ranges`: sets of prefixes, each under an id that a run names. A set is never
// changed: other ranges are another set. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/ids.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/table.h"
#include "agent/plan/plan.h"

namespace fairlead::ebpf {

struct SourceSet {
  uint32_t id = 0;  // 0: none, open to everybody
  std::vector<source_range_key> keys;
};

class SourceSets {
 public:
  SourceSets(KeyedTable<source_ranges_table>* table, uint32_t capacity, Reclaimer& reclaimer)
      : table_(table), reclaimer_(reclaimer), ids_(capacity + 1), capacity_(capacity) {}

  // What an earlier run left, by id.
  Result<std::map<uint32_t, SourceSet>> Restore();

  // The set for this port's ranges: `standing` if it is the same, else a new one that nobody points at yet.
  // After an error nothing of it is left.
  Result<SourceSet> Make(const plan::ServicePort& port, const SourceSet& standing, uint32_t service_id);
  // Nothing new points at the set: it goes after a grace period.
  void Release(const SourceSet& set);

  uint64_t used() const { return used_; }  // ranges
  uint32_t capacity() const { return capacity_; }

 private:
  void Delete(const SourceSet& set);

  KeyedTable<source_ranges_table>* table_;
  Reclaimer& reclaimer_;
  IdPool ids_;
  uint32_t capacity_;
  uint64_t used_ = 0;
};

}  // namespace fairlead::ebpf
