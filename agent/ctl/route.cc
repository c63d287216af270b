// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/route.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <span>

namespace fairlead::ctl {

Result<Route> RouteTo(Netlink& netlink, const Address& to) {
  const bool v4 = to.GetFamily() == Family::kIpv4;
  rtmsg what{};
  what.rtm_family = v4 ? AF_INET : AF_INET6;
  what.rtm_dst_len = v4 ? 32 : 128;
  NetlinkRequest request(RTM_GETROUTE, 0, what);
  request.Add(RTA_DST, std::span<const uint8_t>(to.raw.bytes).subspan(v4 ? 12 : 0));

  Route route;
  bool unicast = false;
  auto asked = netlink.Ask(request, [&](const NetlinkMessage& message) {
    auto found = message.As<rtmsg>();
    if (!found) return;
    unicast = found->rtm_type == RTN_UNICAST;
    route.local = found->rtm_type == RTN_LOCAL;
    for (const NetlinkAttribute& attribute : NetlinkAttributes(message.body, sizeof(rtmsg))) {
      if (attribute.type == RTA_OIF) route.ifindex = attribute.As<uint32_t>();
      if (attribute.type == RTA_GATEWAY || attribute.type == RTA_VIA) route.has_gateway = true;
    }
  });
  // IPv4 answers with an errno, IPv6 may answer with a route of type unreachable.
  const bool none = asked ? !unicast && !route.local
                          : asked.error().code == ENETUNREACH || asked.error().code == EHOSTUNREACH;
  if (none) return Fail(ErrorKind::kNotFound, "no route to {}", to.ToString());
  if (!asked) return std::unexpected(std::move(asked.error()).In("route to " + to.ToString()));
  return route;
}

}  // namespace fairlead::ctl
