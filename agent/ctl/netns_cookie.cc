// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/netns_cookie.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <string>

#include "agent/ctl/route.h"
#include "agent/datapath/ebpf/netns.h"

namespace fairlead::ctl {

namespace {

namespace fs = std::filesystem;

#ifndef SO_NETNS_COOKIE
constexpr int SO_NETNS_COOKIE = 71;
#endif

// The cookie of the namespace behind the file, if the address is its own.
uint64_t CookieIfHome(const std::string& file, const Address& address) {
  const Fd netns(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns) return 0;
  auto socket = ebpf::NetlinkIn(netns, NETLINK_ROUTE);
  if (!socket) return 0;
  Netlink netlink = Netlink::Over(std::move(*socket));
  auto route = RouteTo(netlink, address);
  return route && route->local ? NetnsCookie(netlink.fd()).value_or(0) : 0;
}

// The first of these files that is a namespace not seen yet and has the address.
uint64_t Search(const std::string& directory, const std::string& below, const Address& address,
                std::set<ino_t>& seen) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error); !error && it != fs::end(it); it.increment(error)) {
    const std::string file = it->path().string() + below;
    struct stat st{};
    if (::stat(file.c_str(), &st) != 0 || !seen.insert(st.st_ino).second) continue;
    if (uint64_t cookie = CookieIfHome(file, address)) return cookie;
  }
  return 0;
}

}  // namespace

Result<uint64_t> NetnsCookie(int socket) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (::getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return FailErrno(errno, "cookie of the network namespace");
  return cookie;
}

uint64_t NetnsCookieOfPod(const Address& address, const std::vector<std::string>& directories) {
  std::set<ino_t> seen;
  for (const std::string& directory : directories) {
    if (uint64_t cookie = Search(directory, "", address, seen)) return cookie;
  }
  return Search("/proc", "/ns/net", address, seen);
}

}  // namespace fairlead::ctl
