// SPDX-License-Identifier: Apache-2.0
// A service's own settings: annotations fairlead.io/<name>.
//
//   fairlead.io/algorithm   random | maglev
//   fairlead.io/weights     address=weight, comma separated, each address once, weights 1-1000:
//                           "10.0.0.5=3, fd00::5=3". Backends not listed have weight 1; addresses that are no
//                           backend at present do no harm.
//   fairlead.io/forwarding  nat | dsr: how packets from outside get to a backend on another node (plan.h)
//
// What is malformed is reported and as if absent; an unknown name is reported.
#pragma once

#include <map>

#include "agent/kube/objects.h"
#include "agent/plan/findings.h"
#include "agent/plan/plan.h"

namespace fairlead::plan {

inline constexpr uint16_t kMaxWeight = 1000;

struct Settings {
  Algorithm algorithm = Algorithm::kRandom;
  std::map<Address, uint16_t> weights;
  Forwarding forwarding = Forwarding::kNat;
};

Settings ReadSettings(const kube::Service& service, Algorithm default_algorithm, Findings& findings);

}  // namespace fairlead::plan
