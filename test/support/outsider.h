// SPDX-License-Identifier: Apache-2.0
// Makes sockets that the hooks of the agent under test do not see. The kernel takes a socket's cgroup from
// the process that makes it (sk_alloc), whoever uses it later: here a child process that stays in the cgroup
// the tests were started in.
#pragma once

#include <sys/types.h>

#include <mutex>

#include "agent/base/fd.h"

namespace fairlead::test {

class Outsider {
 public:
  // Forks: to be made from the main thread, before the process changes its cgroup. Throws std::runtime_error,
  // as does everything below.
  Outsider();
  ~Outsider();
  Outsider(const Outsider&) = delete;
  Outsider& operator=(const Outsider&) = delete;

  // socket(2) in the network namespace `netns`. Any thread may call.
  Fd Socket(int netns, int family, int type, int protocol);

 private:
  Fd channel_;
  std::mutex mutex_;  // one request at a time
  pid_t pid_ = -1;
};

}  // namespace fairlead::test
