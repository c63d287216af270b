// SPDX-License-Identifier: Apache-2.0
// What to ask an API server for each kind: path, selector, and the targets of list and watch requests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/objects.h"

namespace fairlead::kube {

struct Resource {
  Kind kind = Kind::kService;
  std::string plural;     // "services", as RBAC rules and messages call it
  std::string path;       // "/api/v1/services"
  std::string selector;   // query parameter, percent-encoded; empty: all objects
  bool optional = false;  // a server without it, or one that forbids it, has none of it

  // A consistent read: resourceVersion is left out. From its watch cache (resourceVersion=0) an older server
  // would ignore `limit` and might answer with a past we have already left. `limit` 0: everything in one
  // response.
  std::string ListTarget(int limit, std::string_view continue_token) const;
  std::string WatchTarget(std::string_view resource_version, long timeout_s) const;
  // The present state as events, then a bookmark that says so, then what changes (KEP-3157).
  std::string WatchListTarget(long timeout_s) const;
};

// Everything the agent watches; kube-proxy's selectors. EndpointSlices carry the labels of their Service, so
// those of headless Services and of Services with another proxy are never sent.
std::vector<Resource> WatchedResources(std::string_view node_name);

}  // namespace fairlead::kube
