// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/addresses.h"

#include <utility>

#include "agent/datapath/ebpf/encode.h"

namespace fairlead::ebpf {

uint32_t Addresses::Roles::Mask() const {
  return node | restored | (cluster_ip_uses > 0 ? uint32_t{ADDRESS_CLUSTER_IP} : 0) |
         (external_uses > 0 ? uint32_t{ADDRESS_EXTERNAL} : 0);
}

std::vector<AddressUse> Addresses::UsesOf(const plan::ServicePort& port) {
  std::vector<AddressUse> uses;
  for (const plan::Frontend& frontend : port.frontends) {
    if (frontend.kind == plan::FrontendKind::kNodePort) continue;
    bool cluster_ip = frontend.kind == plan::FrontendKind::kClusterIp;
    uses.push_back(
        {frontend.address, cluster_ip ? uint32_t{ADDRESS_CLUSTER_IP} : uint32_t{ADDRESS_EXTERNAL}});
  }
  return uses;
}

size_t Addresses::Missing(const std::vector<AddressUse>& uses) const {
  size_t missing = 0;
  for (const AddressUse& use : uses) missing += !frontends_.Get(AddressKey(use.address));
  return missing;
}

Result<void> Addresses::Write(const Address& address) {
  auto it = of_.find(address);
  if (it == of_.end()) return {};
  const uint32_t mask = it->second.Mask();
  frontend_key key = AddressKey(address);
  if (mask == 0) {
    frontends_.Kill(key);
    of_.erase(it);
    return {};
  }
  destinations_.Add(address.raw, store_);
  return frontends_.Set(key, 0, frontend{mask, 0, 0, FRONTEND_LIVE});
}

Result<void> Addresses::Take(const AddressUse& use) {
  ++of_[use.address].Uses(use.role);
  return Write(use.address);
}

void Addresses::Release(const AddressUse& use) {
  auto it = of_.find(use.address);
  if (it == of_.end()) return;
  uint32_t& uses = it->second.Uses(use.role);
  if (uses > 0 && --uses == 0) unused_.push_back(use.address);
}

void Addresses::DropUnused() {
  for (const Address& address : std::exchange(unused_, {})) {
    (void)Write(address);  // taking a role away makes no new entry: it cannot fail
  }
}

Result<void> Addresses::ApplyNode(const plan::NodePlan& node) {
  std::map<Address, uint32_t> wanted;
  for (const Address& address : node.nodeport_addresses) wanted[address] |= ADDRESS_NODE;
  if (node.loopback_nodeports_v4) wanted[*Address::Parse("127.0.0.1")] |= ADDRESS_LOOPBACK;
  if (node.loopback_nodeports_v6) wanted[*Address::Parse("::1")] |= ADDRESS_LOOPBACK;

  std::vector<Address> changed;
  for (auto& [address, roles] : of_) {
    auto it = wanted.find(address);
    uint32_t now = it == wanted.end() ? 0 : it->second;
    if (roles.node != now) changed.push_back(address);
    roles.node = now;
  }
  for (const auto& [address, role] : wanted) {
    if (of_.contains(address)) continue;
    of_[address].node = role;
    changed.push_back(address);
  }
  Result<void> outcome;
  for (const Address& address : changed) {
    if (auto written = Write(address); !written) {
      of_[address].node = 0;  // not as wanted: the next call tries again
      outcome = std::move(written);
    }
  }
  return outcome;
}

std::vector<AddressUse> Addresses::RestoredUses(const Address& address) const {
  std::vector<AddressUse> uses;
  auto it = of_.find(address);
  if (it == of_.end()) return uses;
  for (uint32_t role : {uint32_t{ADDRESS_CLUSTER_IP}, uint32_t{ADDRESS_EXTERNAL}}) {
    if (it->second.restored & role) uses.push_back({address, role});
  }
  return uses;
}

Result<void> Addresses::Prune() {
  std::vector<Address> addresses;
  for (auto& [address, roles] : of_) {
    roles.restored = 0;
    addresses.push_back(address);
  }
  for (const Address& address : addresses) {
    if (auto written = Write(address); !written) return written;
  }
  return {};
}

}  // namespace fairlead::ebpf
