// SPDX-License-Identifier: Apache-2.0
#include "agent/run/node_addresses.h"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>

namespace fairlead::run {

namespace {

bool IsServiceDevice(std::string_view name) {
  static constexpr std::string_view kDevices[] = {"fairlead-ipvs", "kube-ipvs0", "nodelocaldns"};
  return std::ranges::find(kDevices, name) != std::end(kDevices);
}

bool IsLinkLocal(const Address& address) {
  const uint8_t* bytes = address.raw.bytes;
  if (address.GetFamily() == Family::kIpv4) return bytes[12] == 169 && bytes[13] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

}  // namespace

Result<NodeAddresses> NodeAddresses::Open() {
  NodeAddresses addresses;
  addresses.events_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl groups{};
  groups.nl_family = AF_NETLINK;
  groups.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (!addresses.events_ ||
      ::bind(addresses.events_.Get(), reinterpret_cast<sockaddr*>(&groups), sizeof(groups)) != 0) {
    return FailErrno(errno, "rtnetlink: watch the node's addresses");
  }
  return addresses;
}

Result<std::vector<Address>> NodeAddresses::List() const {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return FailErrno(errno, "rtnetlink: list the node's addresses");
  std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<Address> found;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || IsServiceDevice(entry->ifa_name)) continue;
    Address address;
    if (entry->ifa_addr->sa_family == AF_INET) {
      address.raw.words[2] = IP_ADDR_V4_PREFIX;
      address.raw.words[3] = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr.s_addr;
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      std::memcpy(address.raw.bytes, &reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    if (!address.IsLoopback() && !IsLinkLocal(address)) found.push_back(address);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

void NodeAddresses::Drain() {
  char buffer[8192];
  // ENOBUFS: words were lost, but not that there were some.
  while (::recv(events_.Get(), buffer, sizeof(buffer), 0) > 0 || errno == ENOBUFS) errno = 0;
}

}  // namespace fairlead::run
