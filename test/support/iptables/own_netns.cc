// SPDX-License-Identifier: Apache-2.0
#include "test/support/iptables/own_netns.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace fairlead::test {

OwnNetns::OwnNetns() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (before_ && ::unshare(CLONE_NEWNET) == 0) return;
  std::perror("unshare");
  std::abort();
}

OwnNetns::~OwnNetns() {
  if (::setns(before_.Get(), CLONE_NEWNET) == 0) return;
  std::perror("setns");
  std::abort();
}

bool OwnNetns::CanMake() {
  return ::geteuid() == 0;
}

}  // namespace fairlead::test
