// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/claims.h"

#include <algorithm>
#include <limits>

namespace fairlead::plan {

void Claims::Set(const ObjectName& service, int64_t creation_time_s, std::vector<Claimed> claims) {
  std::sort(claims.begin(), claims.end(), [](const Claimed& a, const Claimed& b) {
    return a.claim != b.claim ? a.claim < b.claim : a.as_cluster_ip && !b.as_cluster_ip;
  });
  auto same = [](const Claimed& a, const Claimed& b) { return a.claim == b.claim; };
  claims.erase(std::unique(claims.begin(), claims.end(), same), claims.end());
  if (claims.empty() && !claimants_.contains(service)) return;

  auto [it, added] = claimants_.try_emplace(service);
  Claimant& claimant = it->second;
  claimant.name = &it->first;
  int64_t rank = creation_time_s == 0 ? std::numeric_limits<int64_t>::max() : creation_time_s;
  if (claimant.rank == rank && claimant.claims == claims) return;

  for (const Claimed& claimed : claimant.claims) {
    std::erase_if(Touch(claimed.claim).queue,
                  [&](const Place& place) { return place.claimant == &claimant; });
  }
  claimant.rank = rank;
  claimant.claims = std::move(claims);
  for (const Claimed& claimed : claimant.claims) {
    std::vector<Place>& queue = Touch(claimed.claim).queue;
    Place place{claimed.as_cluster_ip, &claimant};
    queue.insert(std::upper_bound(queue.begin(), queue.end(), place, Before), place);
  }
  if (claimant.claims.empty()) emptied_.push_back(service);
}

std::vector<ObjectName> Claims::Settle() {
  std::vector<ObjectName> affected;
  for (const Claim& claim : touched_) {
    auto it = entries_.find(claim);
    Entry& entry = it->second;
    const Claimant* holder = entry.queue.empty() ? nullptr : entry.queue.front().claimant;
    if (entry.held_before != nullptr && entry.held_before != holder) {
      for (const Place& place : entry.queue) affected.push_back(*place.claimant->name);
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
  return it == entries_.end() || it->second.queue.empty() ? nullptr : it->second.queue.front().claimant->name;
}

bool Claims::Before(const Place& a, const Place& b) {
  if (a.as_cluster_ip != b.as_cluster_ip) return a.as_cluster_ip;
  return a.claimant->rank != b.claimant->rank ? a.claimant->rank < b.claimant->rank
                                              : *a.claimant->name < *b.claimant->name;
}

Claims::Entry& Claims::Touch(const Claim& claim) {
  Entry& entry = entries_[claim];
  if (!entry.touched) {
    entry.touched = true;
    entry.held_before = entry.queue.empty() ? nullptr : entry.queue.front().claimant;
    touched_.push_back(claim);
  }
  return entry;
}

}  // namespace fairlead::plan
