// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/departures.h"

#include <algorithm>

namespace fairlead::ebpf {

void Departures::Note(std::span<const Leftover> leftovers, TimePoint now) {
  std::map<Place, TimePoint> since;
  pods_.clear();
  for (const Leftover& leftover : leftovers) {
    if (leftover.program == pod_program_) pods_.insert(leftover.ifindex);
    Place place{leftover.ifindex, leftover.program};
    auto known = since_.find(place);
    since.emplace(std::move(place), known == since_.end() ? now : known->second);
  }
  since_ = std::move(since);
  next_ = TimePoint::max();
}

bool Departures::MayGo(const Leftover& leftover, TimePoint now) {
  const TimePoint since = since_.at({leftover.ifindex, leftover.program});
  if (!pods_.contains(leftover.ifindex)) return WaitUntil(since + delays_.uplink, now);
  if (now >= looked_ + delays_.between_looks) {
    used_ = in_use_();
    looked_ = now;
  }
  // Flows may have begun between an earlier look and the moment nobody wanted the device any more.
  if (looked_ < since) return WaitUntil(looked_ + delays_.between_looks, now);
  return !used_.contains(leftover.ifindex);
}

bool Departures::WaitUntil(TimePoint until, TimePoint now) {
  if (now >= until) return true;
  next_ = std::min(next_, until);
  return false;
}

}  // namespace fairlead::ebpf
