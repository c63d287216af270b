// SPDX-License-Identifier: Apache-2.0
// The plan as text people read (--dry-run, test failures). Deterministic; not an API.
#pragma once

#include <string>

#include "agent/plan/plan.h"

namespace fairlead::plan {

// One service port, several lines, what is unset or empty left out:
//
//   shop/cart:http/TCP IPv4
//     frontends: ClusterIP 172.30.0.10:80, NodePort 30080 (masquerade)
//     cluster: 10.180.1.11:8080 (local), 10.180.2.11:8080
//     policy: external Local
std::string Print(const ServicePort& port);
std::string Print(const NodePlan& node);

}  // namespace fairlead::plan
