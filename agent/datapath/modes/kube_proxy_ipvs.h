// SPDX-License-Identifier: Apache-2.0
// What kube-proxy in ipvs mode leaves beside its chains: the device kube-ipvs0, virtual servers, ipsets.
//
// A virtual server has no name. kube-proxy's are those with an address of kube-ipvs0, and those with an
// address of the node and a port that is in one of its sets of NodePorts. What ipvs mode of ours has taken
// over (FAIRLEAD-FRONTENDS) is ours.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/ipvs/server.h"
#include "agent/datapath/modes/kube_proxy_sets.h"

namespace fairlead::modes {

struct KubeProxyIpvs {
  bool device = false;
  std::vector<ipvs::ServerKey> servers;
  std::set<std::string> sets;
};

// Without the program ipset, sets are not seen; where there is a device it is an error.
Result<KubeProxyIpvs> FindKubeProxyIpvs();

// In the order servers, device, sets. Its rules, which use the sets, are gone by then. Goes on after a
// failure, and returns the first.
Result<void> RemoveKubeProxyIpvs(const KubeProxyIpvs& found);

// The choice, pure. `device` and `node`: addresses on kube-ipvs0, and on other devices but fairlead-ipvs.
std::vector<ipvs::ServerKey> KubeProxyServers(const ipvs::PresentServers& present,
                                              const std::set<Address>& device, const std::set<Address>& node,
                                              const KubeProxySets& sets,
                                              const std::set<ipvs::ServerKey>& ours);

}  // namespace fairlead::modes
