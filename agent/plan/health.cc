// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/health.h"

#include <set>

namespace fairlead::plan {

std::vector<HealthCheck> HealthChecksOf(const Plan& plan, const ObjectName& service) {
  std::vector<HealthCheck> checks;
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    HealthCheck check{.service = service, .family = family};
    std::set<Address> local;
    ServicePortKey first{service, "", Protocol{}, Family{}};
    for (auto it = plan.lower_bound(first); it != plan.end() && it->first.service == service; ++it) {
      if (it->first.family != family || it->second->health_check_node_port == 0) continue;
      check.port = it->second->health_check_node_port;
      for (const Backend& backend : it->second->local) {
        if (!backend.terminating) local.insert(backend.address);
      }
    }
    check.local_endpoints = local.size();
    if (check.port != 0) checks.push_back(check);
  }
  return checks;
}

NoLocalEndpoints NoLocalEndpointsOf(const ServicePort& port) {
  bool none_here = port.has_any && port.local.empty();
  return {.internal = none_here && port.internal_local ? 1u : 0u,
          .external = none_here && port.external_local ? 1u : 0u};
}

}  // namespace fairlead::plan
