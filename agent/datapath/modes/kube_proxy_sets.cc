// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/kube_proxy_sets.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace fairlead::modes {

namespace {

constexpr std::string_view kPrefix = "KUBE-", kPrefix6 = "KUBE-6-";
constexpr size_t kLongestName = 31;  // the kernel's; longer ones are cut
constexpr std::array<std::string_view, 10> kNames{"LOOP-BACK",
                                                  "CLUSTER-IP",
                                                  "EXTERNAL-IP",
                                                  "EXTERNAL-IP-LOCAL",
                                                  "LOAD-BALANCER",
                                                  "LOAD-BALANCER-LOCAL",
                                                  "LOAD-BALANCER-FW",
                                                  "LOAD-BALANCER-SOURCE-IP",
                                                  "LOAD-BALANCER-SOURCE-CIDR",
                                                  "IPVS-IPS"};
constexpr std::string_view kHealthChecks = "HEALTH-CHECK-NODE-PORT";

struct NodePortSet {
  std::string_view name;
  plan::Protocol protocol;
};
constexpr std::array<NodePortSet, 6> kNodePorts{{{"NODE-PORT-TCP", plan::Protocol::kTcp},
                                                 {"NODE-PORT-LOCAL-TCP", plan::Protocol::kTcp},
                                                 {"NODE-PORT-UDP", plan::Protocol::kUdp},
                                                 {"NODE-PORT-LOCAL-UDP", plan::Protocol::kUdp},
                                                 {"NODE-PORT-SCTP-HASH", plan::Protocol::kSctp},
                                                 {"NODE-PORT-LOCAL-SCTP-HASH", plan::Protocol::kSctp}}};

bool Is(std::string_view set, std::string_view name) {
  const auto with = [&](std::string_view prefix) {
    return set == (std::string(prefix) + std::string(name)).substr(0, kLongestName);
  };
  return with(kPrefix) || with(kPrefix6);
}

const NodePortSet* NodePortSetOf(std::string_view set) {
  const auto found = std::ranges::find_if(kNodePorts, [&](const auto& each) { return Is(set, each.name); });
  return found == kNodePorts.end() ? nullptr : &*found;
}

bool IsKubeProxys(std::string_view set) {
  return NodePortSetOf(set) || Is(set, kHealthChecks) ||
         std::ranges::any_of(kNames, [&](std::string_view name) { return Is(set, name); });
}

// "30001", or "192.168.99.11,sctp:30001".
std::optional<uint16_t> PortOf(std::string_view element) {
  if (const size_t colon = element.rfind(':'); colon != std::string_view::npos)
    element.remove_prefix(colon + 1);
  uint16_t port = 0;
  const auto read = std::from_chars(element.data(), element.data() + element.size(), port);
  if (read.ec != std::errc{} || read.ptr != element.data() + element.size()) return std::nullopt;
  return port;
}

std::string_view TakeWord(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

}  // namespace

KubeProxySets ReadKubeProxySets(std::string_view saved) {
  KubeProxySets sets;
  while (!saved.empty()) {
    const size_t end = std::min(saved.find('\n'), saved.size());
    std::string_view line = saved.substr(0, end);
    saved.remove_prefix(std::min(end + 1, saved.size()));
    const std::string_view verb = TakeWord(line), name = TakeWord(line);
    if (!name.starts_with(kPrefix)) continue;
    if (verb == "create" && IsKubeProxys(name)) sets.names.emplace(name);
    const NodePortSet* node_ports = verb == "add" ? NodePortSetOf(name) : nullptr;
    if (!node_ports) continue;
    if (const auto port = PortOf(TakeWord(line))) sets.node_ports.emplace(node_ports->protocol, *port);
  }
  return sets;
}

}  // namespace fairlead::modes
