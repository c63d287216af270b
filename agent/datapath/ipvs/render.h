// SPDX-License-Identifier: Apache-2.0
// What a service port asks of the kernel in ipvs mode: virtual servers, set elements, addresses. Pure.
//
// IPVS has one list of backends a virtual server (SEMANTICS section 4, ipvs): with a Local policy that is the
// local list, for pods and the node too, and the cluster list where no backend is local. Clients from outside
// are then dropped instead of sent to where no answer would come from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/ipvs/server.h"
#include "agent/datapath/ipvs/sets.h"
#include "agent/plan/plan.h"

namespace fairlead::ipvs {

struct Contribution {
  std::vector<VirtualServer> servers;
  std::vector<Element> elements;   // of every kind but kFrontends and kAddresses, which follow from the rest
  std::vector<Address> addresses;  // for the device, if no other device has them

  friend bool operator==(const Contribution&, const Contribution&) = default;
};

// `nodeport_addresses`: of both families. `scheduler`: for services that name none.
Contribution Render(const plan::ServicePort& port, std::span<const Address> nodeport_addresses,
                    const std::string& scheduler);

// The part of the node.
std::vector<Element> RenderNode(const plan::NodePlan& node);

}  // namespace fairlead::ipvs
