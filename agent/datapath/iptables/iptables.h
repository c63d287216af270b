// SPDX-License-Identifier: Apache-2.0
// The iptables datapath: chains FAIRLEAD-* in the tables nat and filter of iptables and ip6tables, written
// by iptables-restore --noflush, only those that changed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/netfilter/options.h"

namespace fairlead::iptables {

// Whether iptables-restore is there and this kernel takes rules of our kind (--test). Changes nothing. The
// text says which program, version and backend ("nf_tables", "legacy").
Result<std::string> Probe();

Result<std::unique_ptr<datapath::Datapath>> Open(const netfilter::NetfilterOptions& options);

// Removes our chains and the jumps to them, in whichever backend they are (nf_tables and legacy), and undoes
// route_localnet where we had set it; false: there was nothing. Chains of ipvs mode (FAIRLEAD-IPVS-*) stay.
Result<bool> CleanUp();

}  // namespace fairlead::iptables
