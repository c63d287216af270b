// SPDX-License-Identifier: Apache-2.0
// The IPVS datapath: virtual and real servers by generic netlink, the frontends' addresses on the dummy
// device fairlead-ipvs, sets FAIRLEAD-* of ipset, and a fixed handful of iptables rules (chains
// FAIRLEAD-IPVS-*) around them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
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

// Removes the device, the virtual servers of its addresses, our sets and chains; false: there was nothing.
Result<bool> CleanUp();

}  // namespace fairlead::ipvs
