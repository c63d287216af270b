// SPDX-License-Identifier: Apache-2.0
// The addresses of this node's own devices, from rtnetlink, and word when they change.
#pragma once

#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::run {

class NodeAddresses {
 public:
  static Result<NodeAddresses> Open();

  // Every address but loopback and link-local ones, sorted, each once. Devices of IPVS service addresses
  // (kube-ipvs0, nodelocaldns) are left out: what is on them is Services', not the node's.
  Result<std::vector<Address>> List() const;

  // Readable when an address came or went since; Drain makes it unreadable again.
  int fd() const { return events_.Get(); }
  void Drain();

 private:
  Fd events_;
};

}  // namespace fairlead::run
