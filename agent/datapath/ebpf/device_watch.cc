// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/device_watch.h"

#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace fairlead::ebpf {

namespace {

// A destination that no route is made for (RFC 5737, RFC 3849): what matches it is the default route. A look
// at one route, where a dump would be the whole table.
constexpr const char* kElsewhere[] = {"192.0.2.1", "2001:db8::1"};

NetDevice DeviceFrom(const ifinfomsg& info, const std::vector<NetlinkAttribute>& attributes) {
  NetDevice device;
  device.ifindex = static_cast<uint32_t>(info.ifi_index);
  device.loopback = info.ifi_flags & IFF_LOOPBACK;
  device.ethernet = info.ifi_type == ARPHRD_ETHER;
  for (const NetlinkAttribute& attribute : attributes) {
    switch (attribute.type) {
      case IFLA_IFNAME:
        device.name = attribute.Text();
        break;
      case IFLA_MASTER:
        device.master = attribute.As<uint32_t>();
        break;
      case IFLA_LINK_NETNSID:
        device.peer_elsewhere = true;
        break;
      case IFLA_LINKINFO:
        for (const NetlinkAttribute& inner : NetlinkAttributes(attribute.value)) {
          if (inner.type == IFLA_INFO_KIND) device.kind = inner.Text();
        }
        break;
      case IFLA_XDP:
        for (const NetlinkAttribute& inner : NetlinkAttributes(attribute.value)) {
          if (inner.type != IFLA_XDP_ATTACHED) continue;
          auto how = inner.As<uint8_t>();
          device.xdp = how == XDP_ATTACHED_SKB    ? XdpMode::kGeneric
                       : how == XDP_ATTACHED_NONE ? XdpMode::kNone
                                                  : XdpMode::kNative;
        }
        break;
      default:
        break;
    }
  }
  return device;
}

Address AddressFrom(int family, std::span<const std::byte> bytes) {
  return Address::FromBytes(family == AF_INET ? Family::kIpv4 : Family::kIpv6, bytes);
}

// What the lookup of one destination found; an unreachable destination is an errno.
struct Found {
  uint8_t type = RTN_UNSPEC;
  uint8_t prefix_bits = 0;
  std::vector<uint32_t> devices;  // one, or those of all next hops
};

std::vector<uint32_t> DevicesOf(const std::vector<NetlinkAttribute>& attributes) {
  std::vector<uint32_t> devices;
  for (const NetlinkAttribute& attribute : attributes) {
    if (attribute.type == RTA_OIF) devices.push_back(attribute.As<uint32_t>());
    if (attribute.type != RTA_MULTIPATH) continue;
    auto hops = attribute.value;
    while (hops.size() >= sizeof(rtnexthop)) {
      rtnexthop hop;
      std::memcpy(&hop, hops.data(), sizeof(hop));
      if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > hops.size()) break;
      devices.push_back(static_cast<uint32_t>(hop.rtnh_ifindex));
      hops = hops.subspan(std::min<size_t>((hop.rtnh_len + 3U) & ~3U, hops.size()));
    }
  }
  return devices;
}

// The answers to a lookup that mean "by no device": none, routes of type unreachable, prohibit and blackhole,
// and (the last two) a kernel without this family, as after ipv6.disable=1.
bool IsNoRoute(const Error& error) {
  static constexpr int kCodes[] = {ENETUNREACH, EHOSTUNREACH, ENETDOWN,    EACCES,
                                   EINVAL,      EOPNOTSUPP,   EAFNOSUPPORT};
  return std::ranges::find(kCodes, error.code) != std::end(kCodes);
}

// `flags`: RTM_F_FIB_MATCH for the route as it stands in the table instead of what it comes to.
Result<Found> Lookup(Netlink& netlink, const Address& to, uint32_t flags) {
  const bool v4 = to.GetFamily() == Family::kIpv4;
  rtmsg what{};
  what.rtm_family = v4 ? AF_INET : AF_INET6;
  what.rtm_dst_len = v4 ? 32 : 128;
  what.rtm_flags = flags;
  NetlinkRequest request(RTM_GETROUTE, 0, what);
  request.Add(RTA_DST, to.Bytes());
  Found found;
  auto asked = netlink.Ask(request, [&](const NetlinkMessage& message) {
    auto route = message.As<rtmsg>();
    if (!route) return;
    found.type = route->rtm_type;
    found.prefix_bits = route->rtm_dst_len;
    found.devices = DevicesOf(NetlinkAttributes(message.body, sizeof(rtmsg)));
  });
  if (!asked) return std::unexpected(std::move(asked.error()).In("route to " + to.ToString()));
  return found;
}

bool IsLinkLocal(const Address& address) {
  const uint8_t* bytes = address.raw.bytes;
  if (address.GetFamily() == Family::kIpv4) return bytes[12] == 169 && bytes[13] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

struct Located {
  Cidr prefix;
  Address address;
  uint32_t flags = 0;
};

Located AddressOf(const ifaddrmsg& info, const std::vector<NetlinkAttribute>& attributes) {
  Located located;
  located.flags = info.ifa_flags;
  std::optional<Address> local, peer;
  for (const NetlinkAttribute& attribute : attributes) {
    if (attribute.type == IFA_LOCAL) local = AddressFrom(info.ifa_family, attribute.value);
    if (attribute.type == IFA_ADDRESS) peer = AddressFrom(info.ifa_family, attribute.value);
    if (attribute.type == IFA_FLAGS) located.flags = attribute.As<uint32_t>();
  }
  located.address = local.value_or(peer.value_or(Address{}));  // point-to-point: IFA_ADDRESS is the other end
  located.prefix = {located.address, info.ifa_prefixlen};
  return located;
}

}  // namespace

Result<DeviceWatch> DeviceWatch::Open() {
  auto events = Netlink::Open(NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                              RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE});
  if (!events) return std::unexpected(std::move(events.error()).In("watch the node's devices"));
  auto requests = Netlink::Open(NETLINK_ROUTE);
  if (!requests) return std::unexpected(std::move(requests.error()).In("read the node's devices"));
  return DeviceWatch(std::move(*events), std::move(*requests));
}

Result<Inventory> DeviceWatch::List() {
  Inventory inventory;
  auto listed =
      requests_.Ask(NetlinkRequest(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}), [&](const NetlinkMessage& message) {
        auto info = message.As<ifinfomsg>();
        if (!info || message.type != RTM_NEWLINK) return;
        NetDevice device = DeviceFrom(*info, NetlinkAttributes(message.body, sizeof(ifinfomsg)));
        inventory.insert_or_assign(device.ifindex, std::move(device));
      });
  if (listed) listed = ListAddresses(inventory);
  if (!listed) return std::unexpected(std::move(listed.error()).In("read the node's devices"));
  if (auto marked = MarkDefaultRoutes(inventory); !marked)
    return std::unexpected(std::move(marked.error()).In("read the node's devices"));
  return inventory;
}

Result<void> DeviceWatch::ListAddresses(Inventory& into) {
  constexpr uint32_t kSecondChoice = IFA_F_SECONDARY | IFA_F_DEPRECATED;  // IPv6: SECONDARY is TEMPORARY
  std::map<uint32_t, std::vector<Address>> second;
  auto listed =
      requests_.Ask(NetlinkRequest(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}), [&](const NetlinkMessage& message) {
        auto info = message.As<ifaddrmsg>();
        if (!info || message.type != RTM_NEWADDR) return;
        auto device = into.find(info->ifa_index);
        if (device == into.end() || info->ifa_scope > RT_SCOPE_SITE) return;
        Located located = AddressOf(*info, NetlinkAttributes(message.body, sizeof(ifaddrmsg)));
        if (located.address.IsLoopback() || IsLinkLocal(located.address)) return;
        auto& addresses = located.flags & kSecondChoice ? second[info->ifa_index] : device->second.addresses;
        if (std::ranges::find(addresses, located.address) != addresses.end()) return;  // a dump taken again
        addresses.push_back(located.address);
        device->second.prefixes.push_back(located.prefix);
      });
  for (auto& [ifindex, addresses] : second)
    std::ranges::move(addresses, std::back_inserter(into[ifindex].addresses));
  return listed;
}

Result<void> DeviceWatch::MarkDefaultRoutes(Inventory& into) {
  for (const char* text : kElsewhere) {
    auto found = Lookup(requests_, *Address::Parse(text), RTM_F_FIB_MATCH);
    if (!found && !IsNoRoute(found.error())) return std::unexpected(found.error());
    if (!found || found->type != RTN_UNICAST || found->prefix_bits != 0) continue;
    for (uint32_t ifindex : found->devices) {
      if (auto device = into.find(ifindex); device != into.end()) device->second.default_route = true;
    }
  }
  return {};
}

Result<std::optional<uint32_t>> DeviceWatch::DeviceTo(const Address& address) {
  auto found = Lookup(requests_, address, 0);
  if (!found && IsNoRoute(found.error())) return std::nullopt;
  if (!found) return std::unexpected(found.error());
  if (found->type != RTN_UNICAST || found->devices.empty()) return std::nullopt;
  return found->devices.front();
}

bool DeviceWatch::Drain(const std::function<bool(const Cidr&)>& concerns) {
  bool changed = false;
  bool whole = events_.Drain([&](const NetlinkMessage& message) {
    if (message.type != RTM_NEWROUTE && message.type != RTM_DELROUTE) {
      changed = true;
      return;
    }
    auto route = message.As<rtmsg>();
    if (changed || !route || route->rtm_flags & RTM_F_CLONED) return;
    Cidr prefix{AddressFrom(route->rtm_family, {}), route->rtm_dst_len};
    for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(rtmsg))) {
      if (attribute.type == RTA_DST) prefix.base = AddressFrom(route->rtm_family, attribute.value);
    }
    changed = prefix.bits == 0 || concerns(prefix);
  });
  return changed || !whole;
}

}  // namespace fairlead::ebpf
