// SPDX-License-Identifier: Apache-2.0
// The IPVS datapath: virtual and real servers by generic netlink, the frontends' addresses on the dummy
// device fairlead-ipvs, sets FAIRLEAD-* of ipset, and a fixed handful of iptables rules (chains
// FAIRLEAD-IPVS-*) around them.
//
// To look inside: ipvsadm -Ln (or /proc/net/ip_vs), ip address show dev fairlead-ipvs, ipset list
// FAIRLEAD-FRONTENDS, iptables-save | grep FAIRLEAD-IPVS.
//
// Where it does more than kube-proxy in this mode:
//   a service that is deleted keeps its established connections and refuses new ones until they end;
//   a Local policy without a local backend drops clients from outside, who would wait for answers in vain;
//   the node's own packets obey source ranges;
//   what somebody changed of ours is put right every syncPeriod;
//   a virtual server is ours if FAIRLEAD-FRONTENDS or the device names it, and any other is left alone; in
//   ipvs.excludeCIDRs only FAIRLEAD-FRONTENDS says so. Services are served there as anywhere.
// A scheduler this kernel lacks makes its service fail with the module's name: another one in its stead would
// spread connections in a way nobody asked for. What stood before stands.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/ipvs/server.h"
#include "agent/datapath/netfilter/options.h"

namespace fairlead::ipvs {

struct IpvsDatapathOptions {
  netfilter::NetfilterOptions netfilter;
  IpvsOptions ipvs;

  static IpvsDatapathOptions From(const Options& options);
};

// Whether this kernel has IPVS (loads the module, as a request does) and the tools are there. The text says
// what was found.
Result<std::string> Probe();

Result<std::unique_ptr<datapath::Datapath>> Open(const IpvsDatapathOptions& options);

// The virtual servers that CleanUp removes.
Result<std::vector<ServerKey>> StandingServers();

// Removes the device, the virtual servers of its addresses, our sets and chains; false: there was nothing.
Result<bool> CleanUp();

}  // namespace fairlead::ipvs
