// SPDX-License-Identifier: Apache-2.0
// The dummy device fairlead-ipvs: an address on it is local, so packets for it come to LOCAL_IN, where IPVS
// waits. One thread.
//
// Addresses have scope host (IPv4) and are deprecated (IPv6): neither masquerading nor a socket takes one as
// its source on the way elsewhere.
#pragma once

#include <memory>
#include <set>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/base/netlink.h"

namespace fairlead::ipvs {

inline constexpr char kDeviceName[] = "fairlead-ipvs";

class Device {
 public:
  virtual ~Device() = default;

  struct Addresses {
    std::set<Address> ours;    // on the device
    std::set<Address> others;  // on every other one but kube-ipvs0
  };
  // Makes the device if it is not there, and brings it up.
  virtual Result<void> Ensure() = 0;
  virtual Result<Addresses> List() = 0;
  // Whether it was there already or not: no error.
  virtual Result<void> Add(const Address& address) = 0;
  virtual Result<void> Remove(const Address& address) = 0;
};

class NetlinkDevice final : public Device {
 public:
  static Result<std::unique_ptr<NetlinkDevice>> Open();
  explicit NetlinkDevice(Netlink netlink) : netlink_(std::move(netlink)) {}

  Result<void> Ensure() override;
  Result<Addresses> List() override;
  Result<void> Add(const Address& address) override;
  Result<void> Remove(const Address& address) override;

  // With all its addresses; false: it was not there.
  Result<bool> Destroy();

 private:
  struct Link {
    int index = 0;
    bool dummy = false, up = false;
  };
  // Index 0: there is none of the name.
  Result<Link> Find(const char* name);
  Result<void> Make();
  Result<void> BringUp(int index);
  Result<void> Change(uint16_t type, const Address& address);

  Netlink netlink_;
  int index_ = 0;  // 0: not known
};

}  // namespace fairlead::ipvs
