// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/netns.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <memory>

namespace fairlead::ebpf {

namespace {

std::vector<std::string> Names(const std::string& path) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

}  // namespace

std::map<uint32_t, Fd> FindNetns(const std::set<uint32_t>& inodes, const std::vector<std::string>& dirs) {
  std::map<uint32_t, Fd> found;
  auto look = [&](const std::string& path) {
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) return;
    auto inode = static_cast<uint32_t>(st.st_ino);
    if (!inodes.contains(inode) || found.contains(inode)) return;
    if (Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); fd) found.emplace(inode, std::move(fd));
  };
  look("/proc/self/ns/net");
  for (const std::string& dir : dirs) {
    if (found.size() == inodes.size()) return found;
    for (const std::string& name : Names(dir)) look(dir + "/" + name);
  }
  if (found.size() == inodes.size()) return found;
  for (const std::string& name : Names("/proc")) {
    if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); })) {
      look("/proc/" + name + "/ns/net");
    }
    if (found.size() == inodes.size()) break;
  }
  return found;
}

Result<Fd> NetlinkIn(const Fd& netns, int protocol) {
  Fd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return FailErrno(errno, "own network namespace");
  struct stat own{}, there{};
  bool elsewhere =
      ::fstat(home.Get(), &own) != 0 || ::fstat(netns.Get(), &there) != 0 || own.st_ino != there.st_ino;
  if (elsewhere && ::setns(netns.Get(), CLONE_NEWNET) != 0) {
    return FailErrno(errno, "enter a pod's network namespace (CAP_SYS_ADMIN)");
  }
  Fd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, protocol));
  int error = errno;
  if (elsewhere && ::setns(home.Get(), CLONE_NEWNET) != 0) {
    return FailErrno(errno, "return to the own network namespace");
  }
  if (!socket) return FailErrno(error, "netlink socket");
  return socket;
}

}  // namespace fairlead::ebpf
