// SPDX-License-Identifier: Apache-2.0
// What is known of an address as a whole: the SCOPE_ADDRESS entries of `frontends`. A role comes from service
// ports (counted), from the node, or from an earlier run until Prune. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/datapath/ebpf/destinations.h"
#include "agent/datapath/ebpf/frontend_table.h"
#include "agent/datapath/ebpf/store.h"
#include "agent/plan/plan.h"

namespace fairlead::ebpf {

// A role that a service port gives an address: ADDRESS_CLUSTER_IP or ADDRESS_EXTERNAL.
struct AddressUse {
  Address address;
  uint32_t role = 0;

  friend bool operator==(const AddressUse&, const AddressUse&) = default;
};

class Addresses {
 public:
  // `destinations` gets the bit of an address before that gets a role.
  Addresses(FrontendTable& frontends, Destinations& destinations, Store& store)
      : frontends_(frontends), destinations_(destinations), store_(store) {}

  static std::vector<AddressUse> UsesOf(const plan::ServicePort& port);
  // Entries that `uses` would add to the table.
  size_t Missing(const std::vector<AddressUse>& uses) const;

  Result<void> Take(const AddressUse& use);
  // A role that nobody uses any more goes with DropUnused: at the end of a batch, when an address that moved
  // has its new owner.
  void Release(const AddressUse& use);
  void DropUnused();

  // The roles of the node's own addresses. What fails is tried again with the next call.
  Result<void> ApplyNode(const plan::NodePlan& node);

  // After a restart: the entry stands, and its roles last until Prune.
  void Restore(const Address& address, uint32_t roles) {
    destinations_.Add(address.raw, store_);
    of_[address].restored = roles;
  }
  // Every address that has a role.
  void ForEach(const std::function<void(const ip_addr&)>& visit) const {
    for (const auto& [address, roles] : of_) visit(address.raw);
  }
  // Of the restored roles those that service ports give.
  std::vector<AddressUse> RestoredUses(const Address& address) const;
  Result<void> Prune();

 private:
  struct Roles {
    uint32_t cluster_ip_uses = 0;
    uint32_t external_uses = 0;
    uint32_t node = 0;
    uint32_t restored = 0;

    uint32_t& Uses(uint32_t role) { return role == ADDRESS_CLUSTER_IP ? cluster_ip_uses : external_uses; }
    uint32_t Mask() const;
  };

  Result<void> Write(const Address& address);

  FrontendTable& frontends_;
  Destinations& destinations_;
  Store& store_;
  std::map<Address, Roles> of_;
  std::vector<Address> unused_;
};

}  // namespace fairlead::ebpf
