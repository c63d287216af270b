// SPDX-License-Identifier: Apache-2.0
// kube-proxy's ipsets in what `ipset save` prints. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "agent/plan/plan.h"

namespace fairlead::modes {

struct KubeProxySets {
  std::set<std::string> names;
  // In those of them that hold NodePorts.
  std::set<std::pair<plan::Protocol, uint16_t>> node_ports;
};

// By the names that pkg/proxy/ipvs/ipset.go gives them (kube-router's begin with KUBE- too).
KubeProxySets ReadKubeProxySets(std::string_view saved);

}  // namespace fairlead::modes
