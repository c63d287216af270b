// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/pass_schedule.h"

#include <algorithm>

namespace fairlead::netfilter {

void PassSchedule::Changed(TimePoint now) {
  due_ = std::min(due_, std::max(now, rested_));
  settled_ = now + kUnderWay;
}

void PassSchedule::Began(TimePoint now) {
  due_ = TimePoint::max();
  if (settled_ && now >= *settled_) settled_.reset();
}

void PassSchedule::Ended(TimePoint now, Duration cost) {
  retry_ = kRetry;
  rested_ = now + kRest * cost;
  TimePoint next = now + std::max(kPeriod, kLongRest * cost);
  if (settled_) next = std::min(next, *settled_);
  due_ = std::max(std::min(due_, next), rested_);
}

void PassSchedule::Failed(TimePoint now) {
  due_ = now + retry_;
  retry_ = std::min(retry_ * 2, kPeriod);
}

}  // namespace fairlead::netfilter
