// SPDX-License-Identifier: Apache-2.0
// What kube-proxy leaves on a node: chains KUBE-* in the tables of iptables and ip6tables (both backends),
// the nft tables ip and ip6 kube-proxy, the device kube-ipvs0 with the virtual servers of its addresses,
// ipsets KUBE-*. Recognised by these names; rules of others are never touched, nor kubelet's (KUBE-FIREWALL,
// KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT, and its mark chains KUBE-MARK-DROP).
//
// nf_conntrack goes on translating what it had begun to only as long as some chain of type nat stands in
// this network namespace (nf_nat_core: the hooks go with the last one). So before the last goes, a table of
// our own with nothing but empty nat chains takes its place: inet fairlead-established. It goes when no
// translated entry is left, or with --cleanup.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"

namespace fairlead::modes {

// What there is, a line each: "chain KUBE-SERVICES of iptables nat (nf_tables), 212 rules". Empty: kube-proxy
// has left nothing, or never ran.
Result<std::vector<std::string>> FindKubeProxy();

// Removes it, goes on after a failure, and returns the first. Established connections go on.
Result<void> RemoveKubeProxy();

// Lets nf_conntrack go on with the entries it translates: makes or keeps the table of empty nat chains while
// there are such entries, removes it when there are none. Cheap; call now and then.
Result<void> KeepEstablished();

}  // namespace fairlead::modes
