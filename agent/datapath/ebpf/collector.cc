// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/collector.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "agent/base/log.h"

namespace fairlead::ebpf {

uint64_t FlowCounts::used() const {
  return std::accumulate(entries.begin(), entries.end(), stuck);
}

Collector::Collector(FlowTable table, const fairlead_config& config, NowTick now_tick,
                     std::optional<Refresh> refresh)
    : table_(table), config_(config), now_tick_(std::move(now_tick)), refresh_(std::move(refresh)) {
  counts_.capacity = counting_.capacity = table_.capacity();
}

Collector::TimePoint Collector::Poll(TimePoint now) {
  if (now < next_) return next_;
  if (!MayBeginPass()) return next_ = now + kBetweenSlices;
  auto tick = now_tick_();
  std::string error = tick ? "" : tick.error().message;
  if (!error.empty() && error != last_error_) {
    spdlog::warn("conntrack: flows that are over keep their entries: {}; trying again", error);
  }
  last_error_ = error;
  if (!tick) return next_ = now + PauseAfterPass();

  const size_t end = std::min(set_ + kSliceSets, table_.sets());
  for (; set_ < end; ++set_) VisitSet(set_, *tick);
  if (set_ < table_.sets()) return next_ = now + kBetweenSlices;
  FinishPass();
  return next_ = now + PauseAfterPass();
}

FlowCounts Collector::Counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

void Collector::VisitSet(size_t set, uint32_t tick) {
  for (unsigned used = table_.Used(set), way = 0; used != 0; used >>= 1, ++way) {
    if (used % 2 == 0) continue;
    if (refresh_) refresh_->destinations.Keep(table_.Destination({set, way}));
    const FlowTable::Glance glance = table_.Look({set, way});
    if (glance.Busy()) {
      busy_[{set, way}] = glance.sequence;
      auto before = busy_before_.find({set, way});
      counting_.stuck += before != busy_before_.end() && before->second == glance.sequence;
    } else if (!Over(glance.last_seen, glance.state, tick) || !Collect({set, way}, tick)) {
      ++counting_.entries[std::min<size_t>(glance.state, FLOW_STATES - 1)];
    } else {
      ++counting_.collected;
    }
  }
}

bool Collector::Collect(FlowTable::Place place, uint32_t tick) {
  auto entry = table_.Read(place);
  if (!entry || !Over(entry->value.last_seen, entry->value.state, tick)) return false;
  auto mate = table_.Mate(entry->value);
  if (mate && !Over(mate->value.last_seen, mate->value.state, tick)) return false;
  return table_.Free(*entry, true);
}

// An entry may be younger than `tick`, which was asked before it was read.
bool Collector::Over(uint32_t last_seen, uint8_t state, uint32_t tick) const {
  const auto idle = static_cast<int32_t>(tick - last_seen);
  const uint32_t timeout = config_.flow_timeout[std::min<size_t>(state, FLOW_STATES - 1)];
  return idle > 0 && static_cast<uint32_t>(idle) > timeout;
}

// Before a pass the bits are cleared: after a grace period every program that set one before that has made
// its entry, and the pass finds it.
bool Collector::MayBeginPass() {
  if (!refresh_ || (grace_ && *grace_)) return true;
  if (!grace_) {
    grace_ = std::make_shared<bool>(false);
    refresh_->destinations.Clear();
    refresh_->reclaimer.Retire([over = grace_] { *over = true; });
  }
  return false;
}

void Collector::FinishPass() {
  if (refresh_) {
    refresh_->roles(refresh_->destinations);
    refresh_->destinations.Replace();
    grace_.reset();
  }
  {
    std::lock_guard lock(mutex_);
    counts_ = counting_;
  }
  counting_.entries = {};
  counting_.stuck = 0;
  busy_before_ = std::exchange(busy_, {});
  set_ = 0;
}

std::chrono::seconds Collector::PauseAfterPass() const {
  const uint64_t used = counts_.used();
  if (used < counts_.capacity / 2) return std::chrono::seconds(30);
  return std::chrono::seconds(used < counts_.capacity / 4 * 3 ? 10 : 3);
}

}  // namespace fairlead::ebpf
