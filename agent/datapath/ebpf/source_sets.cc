// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/source_sets.h"

#include <algorithm>
#include <cstring>

#include "agent/datapath/ebpf/encode.h"

namespace fairlead::ebpf {

Result<std::map<uint32_t, SourceSet>> SourceSets::Restore() {
  std::map<uint32_t, SourceSet> sets;
  auto listed = table_->ForEach([&](const source_range_key& key, const source_range&) {
    SourceSet& set = sets[key.source_set];
    set.id = key.source_set;
    set.keys.push_back(key);
  });
  if (!listed) return std::unexpected(std::move(listed.error()).In("source_ranges"));
  for (const auto& [id, set] : sets) {
    ids_.Claim(id);
    used_ += set.keys.size();
  }
  return sets;
}

Result<SourceSet> SourceSets::Make(const plan::ServicePort& port, const SourceSet& standing,
                                   uint32_t service_id) {
  if (!port.has_source_ranges) return SourceSet{};
  std::vector<source_range_key> wanted = EncodeSourceRanges(port, standing.id);
  auto same = [](const source_range_key& a, const source_range_key& b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
  };
  if (standing.id != 0 &&
      std::is_permutation(wanted.begin(), wanted.end(), standing.keys.begin(), standing.keys.end(), same)) {
    return standing;
  }
  auto id = ids_.Take();
  if (!id) return Fail(ErrorKind::kExhausted, "source_ranges: all {} sets are in use", ids_.capacity());
  SourceSet set{*id, EncodeSourceRanges(port, *id)};
  for (const source_range_key& key : set.keys) {
    if (auto written = table_->Update(key, {service_id}); !written) {
      Delete(set);
      return std::unexpected(std::move(written.error()).In("source_ranges (capacities.sourceRanges)"));
    }
  }
  used_ += set.keys.size();
  return set;
}

void SourceSets::Release(const SourceSet& set) {
  if (set.id == 0) return;
  used_ -= set.keys.size();
  reclaimer_.Retire([this, set] { Delete(set); });
}

void SourceSets::Delete(const SourceSet& set) {
  for (const source_range_key& key : set.keys) {
    if (!table_->Delete(key)) {
      reclaimer_.Retire([this, set] { Delete(set); });  // deleting twice is no harm
      return;
    }
  }
  ids_.Give(set.id);
}

}  // namespace fairlead::ebpf
