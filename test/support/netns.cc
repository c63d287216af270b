// SPDX-License-Identifier: Apache-2.0
#include "test/support/netns.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "test/support/process.h"

namespace fairlead::test {
namespace {

constexpr char kPins[] = "/run/netns";
constexpr char kThreadNetns[] = "/proc/thread-self/ns/net";

[[noreturn]] void Throw(std::string_view what) {
  throw std::runtime_error(fmt::format("{}: {}", what, std::strerror(errno)));
}

Fd Open(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) Throw(path);
  return fd;
}

// A shared mount point, as `ip netns` makes it: a pin removed here is gone in every mount namespace.
void PreparePins() {
  std::filesystem::create_directories(kPins);
  if (::mount("", kPins, "none", MS_SHARED | MS_REC, nullptr) == 0) return;
  if (errno != EINVAL) Throw(kPins);
  if (::mount(kPins, kPins, "none", MS_BIND | MS_REC, nullptr) != 0) Throw(kPins);
  if (::mount("", kPins, "none", MS_SHARED | MS_REC, nullptr) != 0) Throw(kPins);
}

void Unpin(const std::string& path) {
  ::umount2(path.c_str(), MNT_DETACH);
  ::unlink(path.c_str());
}

}  // namespace

Namespace Namespace::Create(std::string name, Machine machine) {
  PreparePins();
  const std::string path = fmt::format("{}/{}", kPins, name);
  Fd pin(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!pin) Throw(path);
  const Fd home = Open(kThreadNetns);
  if (::unshare(CLONE_NEWNET) != 0) Throw("unshare network namespace");
  const int bound = ::mount(kThreadNetns, path.c_str(), "none", MS_BIND, nullptr);
  const int error = errno;
  if (::setns(home.Get(), CLONE_NEWNET) != 0) Throw("return to own network namespace");
  errno = error;
  if (bound != 0) Throw(path);
  Namespace made(std::move(name), Open(path), machine);
  made.Ip("link set lo up\n");
  return made;
}

Namespace& Namespace::operator=(Namespace&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(fd_, other.fd_);
  std::swap(machine_, other.machine_);
  return *this;
}

Namespace::~Namespace() {
  if (fd_) Unpin(fmt::format("{}/{}", kPins, name_));
}

void Namespace::Sysctl(std::string_view key, std::string_view value) const {
  const NetnsScope inside(*this);
  const std::string path = fmt::format("/proc/sys/net/{}", key);
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.Get(), value.data(), value.size()) < 0) Throw(path);
}

void Namespace::Batch(std::vector<std::string> options, std::string_view lines) const {
  std::vector<std::string> argv{"ip", "-n", name_, "-batch", "-"};
  argv.insert(argv.begin() + 1, options.begin(), options.end());
  const Finished done = Run(argv, lines);
  if (done.status != 0)
    throw std::runtime_error(fmt::format("ip -n {} -batch: {}\nof:\n{}", name_, done.output, lines));
}

void Namespace::NoOffloads(const std::string& device) const {
  const NetnsScope inside(*this);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_value off{ETHTOOL_STXCSUM, 0};  // segmentation by the device goes with it
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&off);
  if (::ioctl(socket.Get(), SIOCETHTOOL, &request) != 0) Throw(fmt::format("{} of {}", device, name_));
}

void Namespace::AwaitLink(const std::string& device) const {
  const NetnsScope inside(*this);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (::ioctl(socket.Get(), SIOCGIFFLAGS, &request) == 0) {
    // The flag is seen before the queue is; setting it takes the lock under which both happen.
    if (request.ifr_flags & IFF_RUNNING && ::ioctl(socket.Get(), SIOCSIFFLAGS, &request) == 0) return;
    errno = ETIMEDOUT;
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  Throw(fmt::format("link {} of {}", device, name_));
}

NetnsScope::NetnsScope(const Namespace& netns) : home_(Open(kThreadNetns)) {
  if (::setns(netns.FileDescriptor(), CLONE_NEWNET) != 0) Throw(netns.Name());
}

NetnsScope::~NetnsScope() {
  // Staying in a foreign namespace would falsify every test that follows.
  if (::setns(home_.Get(), CLONE_NEWNET) != 0) std::abort();
}

void UnpinNamespaces(std::string_view prefix) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(kPins, none)) {
    if (entry.path().filename().string().starts_with(prefix)) Unpin(entry.path());
  }
}

}  // namespace fairlead::test
