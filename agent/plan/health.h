// SPDX-License-Identifier: Apache-2.0
// What health check servers and metrics read from a plan.
#pragma once

#include <cstddef>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::plan {

// A health check node port of one service in one family, and what it answers with.
struct HealthCheck {
  ObjectName service;
  Family family = Family::kIpv4;
  uint16_t port = 0;
  size_t local_endpoints = 0;  // distinct addresses of local ready endpoints over all ports of the service

  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

// At most one a family, IPv4 first; none for a service without a health check node port. O(the service's
// ports and their local backends).
std::vector<HealthCheck> HealthChecksOf(const Plan& plan, const ObjectName& service);

// Service ports with a Local policy, usable endpoints in the cluster, and none of them here.
struct NoLocalEndpoints {
  size_t internal = 0;
  size_t external = 0;

  friend bool operator==(const NoLocalEndpoints&, const NoLocalEndpoints&) = default;
};

// What one service port adds to the count: 0 or 1 each.
NoLocalEndpoints NoLocalEndpointsOf(const ServicePort& port);

}  // namespace fairlead::plan
