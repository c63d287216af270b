// SPDX-License-Identifier: Apache-2.0
// Network namespaces of a test: pinned under /run/netns as `ip netns` does, entered by one thread at a time.
// A socket stays in the namespace it was made in, so a test needs no process per host.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/fd.h"

namespace fairlead::test {

// Which machine a namespace stands for: the node under test with its pods, or another one.
enum class Machine { kUnderTest, kOther };

// A namespace and its pin; both go with the owner. Its loopback device is up.
class Namespace {
 public:
  // Throws std::runtime_error when the kernel refuses; so does everything below.
  static Namespace Create(std::string name, Machine machine = Machine::kUnderTest);
  Namespace(Namespace&& other) noexcept = default;
  Namespace& operator=(Namespace&& other) noexcept;
  ~Namespace();

  const std::string& Name() const { return name_; }
  int FileDescriptor() const { return fd_.Get(); }
  Machine OfMachine() const { return machine_; }
  // Writes /proc/sys/net/`key` as this namespace sees it; `key` with slashes.
  void Sysctl(std::string_view key, std::string_view value) const;
  // Runs lines of `ip -batch` inside; Ip6: of `ip -6 -batch`.
  void Ip(std::string_view lines) const { Batch({}, lines); }
  void Ip6(std::string_view lines) const { Batch({"-6"}, lines); }
  // From here on `device` sends whole checksums and no packet larger than its MTU, so that who receives
  // verifies every one. Otherwise a veth leaves both to hardware that is not there.
  void NoOffloads(const std::string& device) const;
  // Returns once `device` sends. A device whose other end has just come up drops what it is given until the
  // kernel's link watch has seen it (net/core/link_watch.c), which may take a second.
  void AwaitLink(const std::string& device) const;

 private:
  Namespace(std::string name, Fd fd, Machine machine)
      : name_(std::move(name)), fd_(std::move(fd)), machine_(machine) {}
  void Batch(std::vector<std::string> options, std::string_view lines) const;

  std::string name_;  // empty: moved from
  Fd fd_;
  Machine machine_ = Machine::kUnderTest;
};

// The calling thread is in the namespace while this lives, and back where it was afterwards. Nests.
class NetnsScope {
 public:
  explicit NetnsScope(const Namespace& netns);
  ~NetnsScope();
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;

 private:
  Fd home_;
};

// Removes pins under /run/netns whose name starts with `prefix`.
void UnpinNamespaces(std::string_view prefix);

}  // namespace fairlead::test
