// SPDX-License-Identifier: Apache-2.0
// This test process's own corner of the machine: a cgroup v2 it runs in (hooks attached there see its sockets
// and nobody else's), a bpffs folder, a scratch folder, and a prefix for the names of its namespaces. All of
// it carries the process id; what dead processes left behind is removed at the start, our own at exit, on
// SIGINT and SIGTERM.
#pragma once

#include <optional>
#include <string>

#include "test/support/netns.h"
#include "test/support/outsider.h"

namespace fairlead::test {

// Why no lab can be built here ("needs root"), or nothing.
std::optional<std::string> WhyNoLab();

class Sandbox {
 public:
  // Made at the first call, which must come from the main thread. Throws std::runtime_error.
  static Sandbox& Get();

  const std::string& Cgroup() const { return cgroup_; }  // folder of the test's cgroup
  const std::string& HomeCgroup() const {
    return home_cgroup_;
  }  // where the process was before; hooks do not see it
  const std::string& BpffsDir() const { return bpffs_dir_; }  // not made: the agent's business
  const std::string& Scratch() const { return scratch_; }
  // The same for an agent of a second node: a cgroup that nobody is in, so that its hooks see nothing.
  std::string EmptyCgroup() const;
  std::string SecondBpffsDir() const { return bpffs_dir_ + "-second"; }
  // A socket of a host: seen by the hooks on the test's cgroup if `seen` and the host is of the machine under
  // test.
  Fd Socket(const Namespace& netns, int family, int type, int protocol = 0, bool seen = true);
  // "fl<pid>-<n>-": a new prefix for each lab.
  std::string NamePrefix();
  // The folder that holds the built programs, found from the test program's own place.
  static std::string BuildDir();
  // Takes down what an agent pinned in `folder`; its programs detach with the pins.
  static void RemovePins(const std::string& folder);

  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

 private:
  Sandbox();
  ~Sandbox() { TakeDown(); }
  void TakeDown() const;

  Outsider outsider_;
  std::string cgroup_, home_cgroup_, bpffs_dir_, scratch_;
  int labs_ = 0;
};

}  // namespace fairlead::test
