// SPDX-License-Identifier: Apache-2.0
// Where sources leave updates and the syncer picks them up: a queue with a pollable fd. Any thread may push.
#pragma once

#include <sys/eventfd.h>

#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "agent/base/fd.h"
#include "agent/kube/objects.h"

namespace fairlead::run {

class Inbox : public kube::Sink {
 public:
  Inbox() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  void Push(kube::Update update) override {
    std::lock_guard lock(mutex_);
    updates_.push_back(std::move(update));
    Wake();
  }
  void Report(kube::Problem problem) override {
    std::lock_guard lock(mutex_);
    problems_.push_back(std::move(problem));
    Wake();
  }

  // Everything that came since the last call, in order.
  std::pair<std::vector<kube::Update>, std::vector<kube::Problem>> Take() {
    std::lock_guard lock(mutex_);
    uint64_t count = 0;
    (void)!::read(event_.Get(), &count, sizeof(count));
    return {std::exchange(updates_, {}), std::exchange(problems_, {})};
  }

  int fd() const { return event_.Get(); }  // readable while something waits

 private:
  void Wake() {
    uint64_t one = 1;
    (void)!::write(event_.Get(), &one, sizeof(one));  // a full counter is readable all the same
  }

  Fd event_;
  std::mutex mutex_;
  std::vector<kube::Update> updates_;
  std::vector<kube::Problem> problems_;
};

}  // namespace fairlead::run
