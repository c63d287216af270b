// SPDX-License-Identifier: Apache-2.0
// Programs a test starts: short ones run to their end, the agent as a child that dies with the test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/netns.h"

namespace fairlead::test {

struct Finished {
  int status = 0;      // exit status; 128 + signal if it was killed
  std::string output;  // stdout and stderr as they came
};
// Runs argv (found by PATH) to its end. Throws std::runtime_error when it cannot be started.
Finished Run(const std::vector<std::string>& argv, std::string_view input = {});

struct ChildOptions {
  std::vector<std::string> argv;
  const Namespace* netns = nullptr;  // only the network namespace changes: bpffs and cgroup2 stay visible
  std::string cgroup;                // folder of the cgroup to run in; empty: the test's
  std::string log;                   // file that gets stdout and stderr, appended
};

// A running program. Killed (SIGKILL) and reaped with its owner, and by the kernel when the thread that
// started it ends: start children from the main thread.
class Child {
 public:
  static Child Start(const ChildOptions& options);
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), status_(other.status_) {}
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t Pid() const { return pid_; }
  bool Running();
  void Signal(int signal) const;
  // The status as in Finished once it has ended; nothing when it still runs after `timeout`.
  std::optional<int> Wait(std::chrono::milliseconds timeout);

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;  // -1: moved from, or reaped
  std::optional<int> status_;
};

}  // namespace fairlead::test
