// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/local_backends.h"

namespace fairlead::ebpf {

namespace {

std::set<Address> LocalOf(const plan::ServicePort* port) {
  std::set<Address> local;
  if (!port) return local;
  for (const auto* list : {&port->cluster, &port->local, &port->draining}) {
    for (const plan::Backend& backend : *list) {
      if (backend.local) local.insert(backend.address);
    }
  }
  return local;
}

}  // namespace

bool LocalBackends::Apply(std::span<const plan::Change> changes, std::vector<Address>* came) {
  bool changed = false;
  for (const plan::Change& change : changes) {
    std::set<Address> now = LocalOf(change.now.get());
    auto before = by_port_.find(change.key);
    for (const Address& address : now) {
      if (++uses_[address] != 1) continue;
      changed = true;
      if (came != nullptr) came->push_back(address);
    }
    if (before != by_port_.end()) {
      for (const Address& address : before->second) {
        auto use = uses_.find(address);
        if (--use->second != 0) continue;
        uses_.erase(use);
        changed = true;
      }
      by_port_.erase(before);
    }
    if (!now.empty()) by_port_.emplace(change.key, std::move(now));
  }
  return changed;
}

bool LocalBackends::AnyIn(const Cidr& prefix) const {
  auto first = uses_.lower_bound(prefix.base);
  return first != uses_.end() && prefix.Contains(first->first);
}

}  // namespace fairlead::ebpf
