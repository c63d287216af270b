// SPDX-License-Identifier: Apache-2.0
// This network namespace's devices, addresses and routes, read from rtnetlink, and word when they change.
#pragma once

#include <functional>
#include <optional>

#include "agent/base/netlink.h"
#include "agent/datapath/ebpf/devices.h"

namespace fairlead::ebpf {

class DeviceWatch {
 public:
  static Result<DeviceWatch> Open();

  Result<Inventory> List();
  // The device by which this node would send to `address`; nothing if the address is its own, or has no
  // route.
  Result<std::optional<uint32_t>> DeviceTo(const Address& address);

  // Readable when something changed since; Drain makes it unreadable again, and says whether List may now
  // give something else, or DeviceTo for an address in one of the prefixes that `concerns` takes.
  int fd() const { return events_.fd(); }
  bool Drain(const std::function<bool(const Cidr&)>& concerns);

 private:
  DeviceWatch(Netlink&& events, Netlink&& requests)
      : events_(std::move(events)), requests_(std::move(requests)) {}
  Result<void> ListAddresses(Inventory& into);
  Result<void> MarkDefaultRoutes(Inventory& into);

  Netlink events_;
  Netlink requests_;
};

}  // namespace fairlead::ebpf
