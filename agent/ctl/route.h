// SPDX-License-Identifier: Apache-2.0
// How a network namespace routes to an address (RTM_GETROUTE).
#pragma once

#include <cstdint>

#include "agent/base/address.h"
#include "agent/base/netlink.h"

namespace fairlead::ctl {

struct Route {
  uint32_t ifindex = 0;
  bool local = false;        // an address of the namespace itself
  bool has_gateway = false;  // by a router
};

// `netlink` is a NETLINK_ROUTE socket of the namespace. kNotFound if nothing can be sent there.
Result<Route> RouteTo(Netlink& netlink, const Address& to);

}  // namespace fairlead::ctl
