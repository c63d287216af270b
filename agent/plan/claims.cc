// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/claims.h"

#include <algorithm>
#include <limits>

namespace fairlead::plan {

void Claims::Set(const ObjectName& service, int64_t creation_time_s, std::vector<Claim> claims) {
  std::sort(claims.begin(), claims.end());
  claims.erase(std::unique(claims.begin(), claims.end()), claims.end());
  if (claims.empty() && !claimants_.contains(service)) return;

  auto [it, added] = claimants_.try_emplace(service);
  Claimant& claimant = it->second;
  claimant.name = &it->first;
  int64_t rank = creation_time_s == 0 ? std::numeric_limits<int64_t>::max() : creation_time_s;
  if (claimant.rank == rank && claimant.claims == claims) return;

  for (const Claim& claim : claimant.claims) std::erase(Touch(claim).queue, &claimant);
  claimant.rank = rank;
  claimant.claims = std::move(claims);
  for (const Claim& claim : claimant.claims) {
    std::vector<Claimant*>& queue = Touch(claim).queue;
    queue.insert(std::upper_bound(queue.begin(), queue.end(), &claimant, Before), &claimant);
  }
  if (claimant.claims.empty()) emptied_.push_back(service);
}

std::vector<ObjectName> Claims::Settle() {
  std::vector<ObjectName> affected;
  for (const Claim& claim : touched_) {
    auto it = entries_.find(claim);
    Entry& entry = it->second;
    const Claimant* holder = entry.queue.empty() ? nullptr : entry.queue.front();
    if (entry.held_before != nullptr && entry.held_before != holder) {
      for (const Claimant* claimant : entry.queue) affected.push_back(*claimant->name);
    }
    entry.touched = false;
    entry.held_before = nullptr;
    if (entry.queue.empty()) entries_.erase(it);
  }
  touched_.clear();
  for (const ObjectName& name : emptied_) {
    auto it = claimants_.find(name);
    if (it != claimants_.end() && it->second.claims.empty()) claimants_.erase(it);
  }
  emptied_.clear();
  return affected;
}

const ObjectName* Claims::Holder(const Claim& claim) const {
  auto it = entries_.find(claim);
  return it == entries_.end() || it->second.queue.empty() ? nullptr : it->second.queue.front()->name;
}

bool Claims::Before(const Claimant* a, const Claimant* b) {
  return a->rank != b->rank ? a->rank < b->rank : *a->name < *b->name;
}

Claims::Entry& Claims::Touch(const Claim& claim) {
  Entry& entry = entries_[claim];
  if (!entry.touched) {
    entry.touched = true;
    entry.held_before = entry.queue.empty() ? nullptr : entry.queue.front();
    touched_.push_back(claim);
  }
  return entry;
}

}  // namespace fairlead::plan
