// SPDX-License-Identifier: Apache-2.0
// What kube-proxy leaves on a node: chains KUBE-* in the tables of iptables and ip6tables (both backends),
// the nft tables ip and ip6 kube-proxy, the device kube-ipvs0 with the virtual servers of its addresses, and
// ipsets KUBE-*. Recognised by the names that releases of kube-proxy gave them: rules of others are never
// touched, nor kubelet's (KUBE-FIREWALL, KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT, KUBE-MARK-DROP), nor such
// of its chains as rules of others lead to (the CNI plugin portmap may masquerade by KUBE-MARK-MASQ).
// Sysctls that it had set (route_localnet, bridge-nf-call-iptables, arp_ignore, conntrack's) stay.
//
// Established connections are the caller's business (established.h), but for those through IPVS, which its
// own entries translate: they end with their virtual server, unless ipvs mode has taken that over.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/modes/established.h"

namespace fairlead::modes {

// What there is, a line each: "iptables nat (nf_tables): chain KUBE-SERVICES, 212 rules". Empty: kube-proxy
// has left nothing, or never ran.
Result<std::vector<std::string>> FindKubeProxy();

// Removes it, goes on after a failure, and returns the first. Each table of iptables changes as a whole.
Result<void> RemoveKubeProxy();

}  // namespace fairlead::modes
