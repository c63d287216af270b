// SPDX-License-Identifier: Apache-2.0
// When to look at the whole of nf_conntrack: at once after a change, again when no packet that was under way
// during it can still make an entry, and now and then; and never so often that looking is what the agent
// does. Pure.
#pragma once

#include <chrono>
#include <optional>

namespace fairlead::netfilter {

class PassSchedule {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  // How long a packet that met the old rules may take to its entry: through queues of other programs too.
  static constexpr Duration kUnderWay = std::chrono::seconds(10);
  static constexpr Duration kPeriod = std::chrono::seconds(60);
  static constexpr Duration kRetry = std::chrono::seconds(1);
  // Passes after changes take at most one part in so many of the time, periodic ones of this.
  static constexpr int kRest = 20;
  static constexpr int kLongRest = 400;

  void Changed(TimePoint now);
  bool Due(TimePoint now) const { return now >= due_; }
  TimePoint due() const { return due_; }

  void Began(TimePoint now);
  // The pass that began last; `cost` is the time it took of the thread.
  void Ended(TimePoint now, Duration cost);
  void Failed(TimePoint now);

 private:
  TimePoint due_ = TimePoint::max();
  TimePoint rested_{};                // not before that
  std::optional<TimePoint> settled_;  // what changed until now is to be looked at again then
  Duration retry_ = kRetry;
};

}  // namespace fairlead::netfilter
