// SPDX-License-Identifier: Apache-2.0
#include "test/support/kube_proxy_rules.h"

#include <stdexcept>

#include <fmt/format.h>

#include "test/support/objects.h"
#include "test/support/process.h"

namespace fairlead::test {
namespace {

constexpr std::string_view kMark = "0x4000/0x4000";

bool IsIpv6(const ProxiedPort& port) {
  return Addr(port.cluster_ip).GetFamily() == Family::kIpv6;
}

// 16 characters of base32, as kube-proxy names chains.
std::string Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  std::string made;
  for (int i = 0; i < 16; ++i) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    made += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(hash >> 32) % 32];
  }
  return made;
}

std::string AddressOf(std::string_view at) {
  std::string address(at.substr(0, at.rfind(':')));
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  return address;
}

// Lines of a chain that choose one of the backends by chance.
std::string Spread(const std::string& chain, const std::vector<std::string>& targets) {
  std::string lines;
  for (size_t i = 0; i < targets.size(); ++i) {
    const size_t left = targets.size() - i;
    const std::string chance = left == 1 ? ""
                                         : fmt::format(" -m statistic --mode random --probability {:.10f}",
                                                       1.0 / static_cast<double>(left));
    lines += fmt::format("-A {}{} -j {}\n", chain, chance, targets[i]);
  }
  return lines;
}

struct NatText {
  std::string chains, rules, node_ports;
};

void AddPort(const ProxiedPort& port, NatText& text) {
  const std::string pods = IsIpv6(port) ? "fd00:10:180::/46" : "10.180.0.0/16";
  const std::string service = "KUBE-SVC-" + Hash(port.name), external = "KUBE-EXT-" + Hash(port.name);
  std::vector<std::string> endpoints;
  for (const std::string& backend : port.backends)
    endpoints.push_back("KUBE-SEP-" + Hash(port.name + backend));

  text.chains += fmt::format(":{} - [0:0]\n:{} - [0:0]\n", service, external);
  const std::string to = fmt::format("-d {} -p tcp -m comment --comment \"{} cluster IP\" -m tcp --dport {}",
                                     port.cluster_ip, port.name, port.port);
  text.rules += fmt::format("-A KUBE-SERVICES {} -j {}\n", to, service);
  text.rules += fmt::format("-A {} ! -s {} {} -j KUBE-MARK-MASQ\n", service, pods, to);
  if (port.node_port != 0) {
    text.node_ports +=
        fmt::format("-A KUBE-NODEPORTS -p tcp -m comment --comment \"{}\" -m tcp --dport {} -j {}\n",
                    port.name, port.node_port, external);
  }
  text.rules += fmt::format("-A {0} -j KUBE-MARK-MASQ\n-A {0} -j {1}\n", external, service);
  for (size_t i = 0; i < endpoints.size(); ++i) {
    text.chains += fmt::format(":{} - [0:0]\n", endpoints[i]);
    text.rules +=
        fmt::format("-A {0} -s {1} -j KUBE-MARK-MASQ\n-A {0} -p tcp -m tcp -j DNAT --to-destination {2}\n",
                    endpoints[i], AddressOf(port.backends[i]), port.backends[i]);
  }
  text.rules += Spread(service, endpoints);
}

std::string Nat(const std::vector<ProxiedPort>& ports, bool ipv6) {
  NatText text;
  for (const ProxiedPort& port : ports) {
    if (IsIpv6(port) == ipv6) AddPort(port, text);
  }
  return fmt::format(R"(*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-PROXY-CANARY - [0:0]
{0}-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark {1}
-A KUBE-POSTROUTING -m mark ! --mark {1} -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
{2}-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
{3}COMMIT
)",
                     text.chains, kMark, text.rules, text.node_ports);
}

// KUBE-FIREWALL, KUBE-IPTABLES-HINT and KUBE-KUBELET-CANARY are the kubelet's.
constexpr std::string_view kFilterAndMangle = R"(*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-FIREWALL - [0:0]
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-I INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-I FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-I OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A INPUT -j KUBE-FIREWALL
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*mangle
:KUBE-PROXY-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
)";

void RunIn(const Namespace& host, const std::vector<std::string>& argv, std::string_view input) {
  const NetnsScope inside(host);
  const Finished done = Run(argv, input);
  if (done.status != 0) throw std::runtime_error(fmt::format("{}: {}\nof:\n{}", argv[0], done.output, input));
}

}  // namespace

std::string_view Word(KubeProxyMode mode) {
  switch (mode) {
    case KubeProxyMode::kIptablesNft:
      return "IptablesNft";
    case KubeProxyMode::kIptablesLegacy:
      return "IptablesLegacy";
    case KubeProxyMode::kNftables:
      return "Nftables";
  }
  return "";
}

std::string KubeProxyIptables(const std::vector<ProxiedPort>& ports, bool ipv6) {
  return Nat(ports, ipv6) + std::string(kFilterAndMangle);
}

std::string KubeProxyNftables(const std::vector<ProxiedPort>& ports, bool ipv6) {
  const std::string_view ip = ipv6 ? "ip6" : "ip";
  std::string chains, services, node_ports;
  for (const ProxiedPort& port : ports) {
    if (IsIpv6(port) != ipv6) continue;
    const std::string service = "service-" + Hash(port.name), external = "external-" + Hash(port.name);
    std::string backends;
    for (size_t i = 0; i < port.backends.size(); ++i) {
      const std::string endpoint = fmt::format("endpoint-{}", Hash(port.name + port.backends[i]));
      chains += fmt::format(
          " chain {} {{\n  {} saddr {} jump mark-for-masquerade\n  meta l4proto tcp dnat to {}\n }}\n",
          endpoint, ip, AddressOf(port.backends[i]), port.backends[i]);
      backends += fmt::format("{}{} : goto {}", i == 0 ? "" : ", ", i, endpoint);
    }
    chains += fmt::format(
        " chain {} {{\n  {} daddr {} {} saddr != {} jump mark-for-masquerade\n"
        "  numgen random mod {} vmap {{ {} }}\n }}\n",
        service, ip, port.cluster_ip, ip, ipv6 ? "fd00:10:180::/46" : "10.180.0.0/16", port.backends.size(),
        backends);
    chains += fmt::format(" chain {} {{\n  jump mark-for-masquerade\n  goto {}\n }}\n", external, service);
    services +=
        fmt::format("  elements = {{ {} . tcp . {} : goto {} }}\n", port.cluster_ip, port.port, service);
    if (port.node_port != 0)
      node_ports += fmt::format("  elements = {{ tcp . {} : goto {} }}\n", port.node_port, external);
  }
  return fmt::format(R"(table {0} kube-proxy
delete table {0} kube-proxy
table {0} kube-proxy {{
 comment "rules for kube-proxy"
 chain mark-for-masquerade {{
  meta mark set meta mark | 0x4000
 }}
{1} map service-ips {{
  type {2} . inet_proto . inet_service : verdict
{3} }}
 map service-nodeports {{
  type inet_proto . inet_service : verdict
{4} }}
 chain services {{
  {0} daddr . meta l4proto . th dport vmap @service-ips
  fib daddr type local meta l4proto . th dport vmap @service-nodeports
 }}
 chain nat-prerouting {{
  type nat hook prerouting priority -100;
  jump services
 }}
 chain nat-output {{
  type nat hook output priority -100;
  jump services
 }}
 chain nat-postrouting {{
  type nat hook postrouting priority 100;
  meta mark & 0x4000 != 0 masquerade fully-random
 }}
}}
)",
                     ip, chains, ipv6 ? "ipv6_addr" : "ipv4_addr", services, node_ports);
}

void PutKubeProxyRules(const Namespace& host, KubeProxyMode mode, const std::vector<ProxiedPort>& ports) {
  for (const bool ipv6 : {false, true}) {
    if (mode == KubeProxyMode::kNftables) {
      RunIn(host, {"nft", "-f", "-"}, KubeProxyNftables(ports, ipv6));
      continue;
    }
    const std::string program = fmt::format("{}-{}-restore", ipv6 ? "ip6tables" : "iptables",
                                            mode == KubeProxyMode::kIptablesNft ? "nft" : "legacy");
    RunIn(host, {program, "--noflush", "-w", "5"}, KubeProxyIptables(ports, ipv6));
  }
}

}  // namespace fairlead::test
