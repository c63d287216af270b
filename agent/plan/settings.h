// SPDX-License-Identifier: Apache-2.0
// A service's own settings: annotations fairlead.io/<name>.
//
//   fairlead.io/algorithm   random | maglev
//   fairlead.io/weights     address=weight, comma separated, each address once, weights 1-1000:
//                           "10.0.0.5=3, fd00::5=3". Backends not listed have weight 1; addresses that are no
//                           backend at present do no harm.
//   fairlead.io/forwarding  nat | dsr: how packets from outside get to a backend on another node (plan.h)
//   fairlead.io/ipvs-scheduler  of ipvs mode, instead of ipvs.scheduler: a name of kIpvsSchedulers
//
// What is malformed is reported and as if absent; so is what this node's datapath does not have. An unknown
// name is reported.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "agent/kube/objects.h"
#include "agent/plan/findings.h"
#include "agent/plan/plan.h"

namespace fairlead::plan {

inline constexpr uint16_t kMaxWeight = 1000;

// The kernel's (net/netfilter/ipvs); a kernel may lack the module of one.
inline constexpr std::string_view kIpvsSchedulers[] = {"rr", "wrr", "lc",   "wlc",   "sh", "dh", "sed",
                                                       "nq", "mh",  "lblc", "lblcr", "fo", "ovf"};

struct Settings {
  Algorithm algorithm = Algorithm::kRandom;
  std::map<Address, uint16_t> weights;
  Forwarding forwarding = Forwarding::kNat;
  std::string scheduler;  // empty: the node's
};

Settings ReadSettings(const kube::Service& service, const NodeFacts& facts, Findings& findings);

}  // namespace fairlead::plan
