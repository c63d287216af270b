// SPDX-License-Identifier: Apache-2.0
// The addresses of this node's backends, of all service ports together, kept as service ports change.
// O(changed).
#pragma once

#include <map>
#include <set>
#include <span>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::ebpf {

class LocalBackends {
 public:
  // True if an address came or went; `came`, if given, gets those that came.
  bool Apply(std::span<const plan::Change> changes, std::vector<Address>* came = nullptr);

  const std::map<Address, uint32_t>& uses() const { return uses_; }  // never 0
  bool AnyIn(const Cidr& prefix) const;

 private:
  std::map<plan::ServicePortKey, std::set<Address>> by_port_;  // only those that have some
  std::map<Address, uint32_t> uses_;                           // service ports an address is a backend of
};

}  // namespace fairlead::ebpf
