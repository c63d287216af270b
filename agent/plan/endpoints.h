// SPDX-License-Identifier: Apache-2.0
// Which endpoints serve: SEMANTICS sections 2 and 3 as pure functions over plain data
// (kubernetes pkg/proxy/{endpointslicecache,topology}.go).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "agent/kube/objects.h"
#include "agent/plan/plan.h"

namespace fairlead::plan {

// An endpoint of one service port: slice ports resolved, duplicates merged.
struct ServiceEndpoint {
  Address address;
  uint16_t port = 0;
  bool local = false;
  const kube::Endpoint* endpoint = nullptr;  // conditions and hints; owned by the model
};

// Merges the slices of a service for one service port and family. Sorted by address and port. Where one
// address:port occurs twice, a non-terminating entry wins; between equals the first in slice-name order.
std::vector<ServiceEndpoint> MergeSlices(const std::map<std::string, kube::EndpointSlice>& slices,
                                         const std::string& port_name, Protocol protocol, Family family,
                                         const std::string& node_name);

// Fills cluster, local, draining and has_any of `port` (whose policies and needs_* are set) from its
// endpoints.
void ChooseEndpoints(std::span<const ServiceEndpoint> endpoints, const NodeFacts& facts, ServicePort& port);

}  // namespace fairlead::plan
