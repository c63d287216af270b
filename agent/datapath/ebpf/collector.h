// SPDX-License-Identifier: Apache-2.0
// Frees flow entries that are over, so that the table's fill says how many flows there are and a full set is
// rare. Programs take the place of an expired entry by themselves when they need one: nothing waits for the
// collector, so it may be slow.
//
// Promise: an entry goes only when neither it nor its other half had a packet for the time of its state.
// Where a flow's backend is, or whether its Service still exists, makes no difference.
//
// Level-triggered: every pass looks at every set, in slices with pauses between them in which the caller's
// thread does its other work. An entry that lives costs 25 to 75 ns (cache misses), one that is freed 0.5 us:
// a pass over 200,000 live ones is 5 ms in all, and a slice in which every entry is over 1 ms.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/destinations.h"
#include "agent/datapath/ebpf/flow_table.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "fairlead/config.h"

namespace fairlead::ebpf {

// What the last complete pass found.
struct FlowCounts {
  std::array<uint64_t, FLOW_STATES> entries{};  // by enum flow_state; a flow has two
  uint64_t capacity = 0;                        // entries
  uint64_t collected = 0;                       // all passes together
  // Being written since the pass before, which no program takes a microsecond for: whoever took it has died.
  // Nobody can tell from outside that it has, so the place stays lost.
  uint64_t stuck = 0;

  uint64_t used() const;
};

class Collector {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using NowTick = std::function<Result<uint32_t>()>;

  static constexpr size_t kSliceSets = 256;
  static constexpr std::chrono::milliseconds kBetweenSlices{10};

  // The filter in front of the packet path, whose bits a pass makes anew on its way: those of the entries
  // that it leaves, and what `roles` keeps.
  struct Refresh {
    Destinations destinations;
    Reclaimer& reclaimer;
    std::function<void(Destinations&)> roles;
  };

  // Times are those of `config`, which the programs were given.
  Collector(FlowTable table, const fairlead_config& config, NowTick now_tick,
            std::optional<Refresh> refresh = std::nullopt);

  // Looks at the next slice if one is due. When to call again.
  TimePoint Poll(TimePoint now);
  // From any thread.
  FlowCounts Counts() const;

 private:
  void VisitSet(size_t set, uint32_t tick);
  bool Collect(FlowTable::Place place, uint32_t tick);
  bool Over(uint32_t last_seen, uint8_t state, uint32_t tick) const;
  bool MayBeginPass();
  void FinishPass();
  std::chrono::seconds PauseAfterPass() const;

  // Entries found being written, and the sequence they had: the same in two passes is stuck.
  using Busy = std::map<std::pair<size_t, size_t>, uint32_t>;

  FlowTable table_;
  fairlead_config config_;
  NowTick now_tick_;
  std::optional<Refresh> refresh_;
  std::shared_ptr<bool> grace_;  // since the bits were cleared: under way, over; null: not yet cleared
  TimePoint next_{};
  size_t set_ = 0;  // where the pass under way has got to
  FlowCounts counting_;
  Busy busy_, busy_before_;
  std::string last_error_;  // said once while it lasts

  mutable std::mutex mutex_;  // guards what follows
  FlowCounts counts_;
};

}  // namespace fairlead::ebpf
