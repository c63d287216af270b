// SPDX-License-Identifier: Apache-2.0
// Connections through IPVS become nf_conntrack's own, as those of the packet path do (adopt_flows.h): a
// datapath whose NAT is the kernel's goes on with them.
//
// nf_conntrack has them already, by net.ipv4.vs.conntrack, which this mode and kube-proxy's set: an entry
// that translates nothing, and whose answers come from elsewhere than was asked (ip_vs_nfct.c).
#pragma once

#include <cstddef>
#include <functional>
#include <istream>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/hand_over.h"
#include "agent/datapath/ipvs/server.h"
#include "agent/datapath/netfilter/conntrack.h"

namespace fairlead::modes {

// `remove` ends these servers. Should it fail half way, that is for the caller to say: the entries are right
// even where a server stands, since nf_conntrack translates before IPVS looks. How many connections go on.
Result<size_t> AdoptIpvs(std::span<const ipvs::ServerKey> servers, const std::function<void()>& remove);

// The connections of these servers among all entries. Of TCP those that are not over; of UDP all, since a
// datagram that met its entry would pass untranslated. None of the node itself by an address of its own: such
// a socket has the Service's address, which goes with the device.
std::vector<ebpf::HandedFlow> IpvsFlows(std::span<const netfilter::ConntrackEntry> entries,
                                        std::span<const ipvs::ServerKey> servers);

// Lines of /proc/net/ip_vs_conn that are of these connections.
size_t CountIpvsConnections(std::istream& table, std::span<const ebpf::HandedFlow> flows);

}  // namespace fairlead::modes
