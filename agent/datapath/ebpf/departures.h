// SPDX-License-Identifier: Apache-2.0
// When a program goes from a device that is no longer chosen. A pod's device keeps it while a flow leads
// there: connections of a removed endpoint go on to their end. An uplink keeps it for a while: an address or
// a default route that is taken away and put back, as by a DHCP client, costs no packet.
//
// Pure but for the flows it asks about; the caller has the clock.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "agent/datapath/ebpf/placement.h"

namespace fairlead::ebpf {

class Departures {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // The devices by which flows are sent out. A look at the whole flow table.
  using InUse = std::function<std::set<uint32_t>()>;

  struct Delays {
    std::chrono::seconds uplink{60};
    std::chrono::seconds between_looks{5};  // at the flow table
  };

  // A device with a program of this name is a pod's, any other an uplink.
  Departures(std::string pod_program, InUse in_use, Delays delays)
      : pod_program_(std::move(pod_program)), in_use_(std::move(in_use)), delays_(delays) {}

  // What is left over at this moment, all of it: whatever is not among it starts anew when it is next time.
  void Note(std::span<const Leftover> leftovers, TimePoint now);
  // Whether one that was noted may go.
  bool MayGo(const Leftover& leftover, TimePoint now);
  // When one that may not go yet may, as far as that is a matter of time.
  TimePoint next() const { return next_; }

 private:
  using Place = std::pair<uint32_t, std::string>;  // device and program

  bool WaitUntil(TimePoint until, TimePoint now);

  std::string pod_program_;
  InUse in_use_;
  Delays delays_;
  std::map<Place, TimePoint> since_;
  std::set<uint32_t> pods_;  // devices
  TimePoint next_ = TimePoint::max();
  TimePoint looked_ = TimePoint::min();
  std::set<uint32_t> used_;  // when we looked
};

}  // namespace fairlead::ebpf
