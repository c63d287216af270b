// SPDX-License-Identifier: Apache-2.0
// Rules of the shape kube-proxy makes, on a node of a lab: the same chains, jumps, marks and targets, for the
// few Services of a test. So a test has a kube-proxy that has gone, or one that comes back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/netns.h"

namespace fairlead::test {

// One TCP port of a Service, one family.
struct ProxiedPort {
  std::string name;        // "shop/cart:tcp"
  std::string cluster_ip;  // its family is that of the backends
  uint16_t port = 0;
  uint16_t node_port = 0;             // 0: none
  std::vector<std::string> backends;  // "10.180.1.11:8080"
};

enum class KubeProxyMode { kIptablesNft, kIptablesLegacy, kNftables };
std::string_view Word(KubeProxyMode mode);  // "IptablesNft", ...

// Text for iptables-restore --noflush: chains KUBE-*, those of the kubelet too, and the jumps to them in
// front of all others.
std::string KubeProxyIptables(const std::vector<ProxiedPort>& ports, bool ipv6);
// Text for nft -f: table ip kube-proxy, or ip6.
std::string KubeProxyNftables(const std::vector<ProxiedPort>& ports, bool ipv6);

// Puts them into the kernel of a host that has none, both families. Throws std::runtime_error with what the
// program said.
void PutKubeProxyRules(const Namespace& host, KubeProxyMode mode, const std::vector<ProxiedPort>& ports);

}  // namespace fairlead::test
