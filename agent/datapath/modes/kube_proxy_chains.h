// SPDX-License-Identifier: Apache-2.0
// kube-proxy's chains in what iptables-save prints, and the input for iptables-restore --noflush that takes
// them away. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::modes {

// Chains of one table: one, or all of a kind ("KUBE-SVC-*").
struct KubeProxyChains {
  std::string table, name;
  size_t chains = 0, rules = 0;
};

struct KubeProxyTables {
  std::vector<KubeProxyChains> found;  // that go; in the order of the tables, then of names
  // Each table's part is one transaction of the kernel's: the jumps from built-in chains, then the chains.
  // Empty: there is nothing to remove.
  std::string removal;
};

// By the names that kube-proxy's releases gave them (pkg/proxy/iptables, pkg/proxy/ipvs; kube-router's begin
// with KUBE- too). A chain stays while a rule of others leads to it, and so do those it leads to; with
// KUBE-MARK-MASQ, which only marks, KUBE-POSTROUTING stays.
KubeProxyTables ReadKubeProxyTables(std::string_view saved);

}  // namespace fairlead::modes
