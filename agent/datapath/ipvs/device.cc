// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/device.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <optional>
#include <string_view>
#include <utility>

namespace fairlead::ipvs {

namespace {

constexpr char kKubeProxyDevice[] = "kube-ipvs0";  // its addresses are the same Services'

std::optional<Address> AddressOf(const NetlinkMessage& message, const ifaddrmsg& info) {
  std::span<const std::byte> value;
  for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(ifaddrmsg))) {
    // On a point-to-point device IFA_ADDRESS is the other end.
    if (attribute.type == IFA_LOCAL || (attribute.type == IFA_ADDRESS && value.empty()))
      value = attribute.value;
  }
  if (info.ifa_family == AF_INET && value.size() == 4) return Address::FromBytes(Family::kIpv4, value);
  if (info.ifa_family == AF_INET6 && value.size() == 16) return Address::FromBytes(Family::kIpv6, value);
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<NetlinkDevice>> NetlinkDevice::Open() {
  auto netlink = Netlink::Open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(std::move(netlink.error()));
  return std::make_unique<NetlinkDevice>(std::move(*netlink));
}

Result<NetlinkDevice::Link> NetlinkDevice::Find(const char* name) {
  NetlinkRequest request(RTM_GETLINK, 0, ifinfomsg{});
  request.AddText(IFLA_IFNAME, name);
  Link link;
  auto asked = netlink_.Ask(request, [&](const NetlinkMessage& message) {
    const auto info = message.As<ifinfomsg>();
    if (!info) return;
    link.index = info->ifi_index;
    link.up = (info->ifi_flags & IFF_UP) != 0;
    for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(ifinfomsg))) {
      if (attribute.type != IFLA_LINKINFO) continue;
      for (const NetlinkAttribute& inner : NetlinkAttributes(attribute.value))
        link.dummy |= inner.type == IFLA_INFO_KIND && inner.Text() == "dummy";
    }
  });
  if (!asked && asked.error().code == ENODEV) return Link{};
  if (!asked) return std::unexpected(std::move(asked.error()).In(fmt::format("device {}", name)));
  return link;
}

Result<void> NetlinkDevice::Make() {
  NetlinkRequest request(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  request.AddText(IFLA_IFNAME, kDeviceName);
  request.Nest(IFLA_LINKINFO, [](NetlinkRequest& nested) { nested.AddText(IFLA_INFO_KIND, "dummy"); });
  auto asked = netlink_.Ask(request, [](const NetlinkMessage&) {});
  if (!asked)
    return std::unexpected(std::move(asked.error()).In(fmt::format("device {}: make", kDeviceName)));
  return {};
}

// Without a link-local address of its own, where the kernel has IPv6.
Result<void> NetlinkDevice::BringUp(int index) {
  ifinfomsg info{};
  info.ifi_index = index;
  NetlinkRequest quiet(RTM_NEWLINK, NLM_F_ACK, info);
  quiet.Nest(IFLA_AF_SPEC, [](NetlinkRequest& nested) {
    nested.Nest(AF_INET6, [](NetlinkRequest& inet6) {
      inet6.AddValue(IFLA_INET6_ADDR_GEN_MODE, uint8_t{IN6_ADDR_GEN_MODE_NONE});
    });
  });
  (void)netlink_.Ask(quiet, [](const NetlinkMessage&) {});
  info.ifi_flags = info.ifi_change = IFF_UP;
  auto asked = netlink_.Ask(NetlinkRequest(RTM_NEWLINK, NLM_F_ACK, info), [](const NetlinkMessage&) {});
  if (!asked)
    return std::unexpected(std::move(asked.error()).In(fmt::format("device {}: bring up", kDeviceName)));
  return {};
}

Result<void> NetlinkDevice::Ensure() {
  auto link = Find(kDeviceName);
  if (link && link->index == 0) {
    if (auto made = Make(); !made) return made;
    link = Find(kDeviceName);
  }
  if (!link) return std::unexpected(std::move(link.error()));
  if (!link->dummy)
    return Fail(ErrorKind::kInvalid, "device {}: expected one of kind dummy; somebody else has the name",
                kDeviceName);
  index_ = link->index;
  if (link->up) return {};
  return BringUp(index_);
}

Result<Device::Addresses> NetlinkDevice::List() {
  auto ours = Find(kDeviceName);
  if (!ours) return std::unexpected(std::move(ours.error()));
  auto kube_proxy = Find(kKubeProxyDevice);
  if (!kube_proxy) return std::unexpected(std::move(kube_proxy.error()));
  Addresses addresses;
  auto asked =
      netlink_.Ask(NetlinkRequest(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}), [&](const NetlinkMessage& message) {
        const auto info = message.As<ifaddrmsg>();
        const auto address = info ? AddressOf(message, *info) : std::nullopt;
        if (!address) return;
        const int index = static_cast<int>(info->ifa_index);
        if (index == ours->index) {
          addresses.ours.insert(*address);
        } else if (index != kube_proxy->index) {
          addresses.others.insert(*address);
        }
      });
  if (!asked) return std::unexpected(std::move(asked.error()).In("list the node's addresses"));
  return addresses;
}

Result<void> NetlinkDevice::Change(uint16_t type, const Address& address) {
  const bool v4 = address.GetFamily() == Family::kIpv4;
  ifaddrmsg info{};
  info.ifa_family = v4 ? AF_INET : AF_INET6;
  info.ifa_prefixlen = v4 ? 32 : 128;
  info.ifa_scope = v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  info.ifa_index = static_cast<uint32_t>(index_);
  const bool adds = type == RTM_NEWADDR;
  NetlinkRequest request(type, adds ? NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE : NLM_F_ACK, info);
  request.Add(IFA_LOCAL, address.Bytes());
  request.Add(IFA_ADDRESS, address.Bytes());
  if (adds && !v4) {
    request.AddValue(IFA_FLAGS, uint32_t{IFA_F_NODAD});
    request.AddValue(IFA_CACHEINFO,
                     ifa_cacheinfo{.ifa_prefered = 0, .ifa_valid = ~0U, .cstamp = 0, .tstamp = 0});
  }
  auto asked = netlink_.Ask(request, [](const NetlinkMessage&) {});
  if (asked) return {};
  return std::unexpected(
      std::move(asked.error())
          .In(fmt::format("device {}: {} {}", kDeviceName, adds ? "add" : "remove", address.ToString())));
}

Result<void> NetlinkDevice::Add(const Address& address) {
  return Change(RTM_NEWADDR, address);
}

Result<void> NetlinkDevice::Remove(const Address& address) {
  auto removed = Change(RTM_DELADDR, address);
  if (!removed && (removed.error().code == EADDRNOTAVAIL || removed.error().code == ENODEV)) return {};
  return removed;
}

Result<bool> NetlinkDevice::Destroy() {
  auto link = Find(kDeviceName);
  if (!link) return std::unexpected(std::move(link.error()));
  if (link->index == 0 || !link->dummy) return false;
  ifinfomsg info{};
  info.ifi_index = link->index;
  auto asked = netlink_.Ask(NetlinkRequest(RTM_DELLINK, NLM_F_ACK, info), [](const NetlinkMessage&) {});
  if (!asked) return std::unexpected(std::move(asked.error()).In(fmt::format("device {}", kDeviceName)));
  return true;
}

}  // namespace fairlead::ipvs
