// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/service_rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/datapath/iptables/backend_rules.h"
#include "agent/datapath/iptables/names.h"

namespace fairlead::iptables {

namespace {

using plan::Frontend;
using plan::FrontendKind;
using plan::Masquerade;
using plan::ServicePort;

class ServiceRenderer {
 public:
  ServiceRenderer(const ServicePort& port, const NodeMatches& node)
      : port_(port),
        node_(node),
        comment_(CommentOf(port.key)),
        cluster_(ServiceChain("SVC", port.key)),
        local_(ServiceChain("LOC", port.key)),
        external_(ServiceChain("EXT", port.key)) {}

  ServiceRules Render() {
    for (const Frontend& frontend : port_.frontends) {
      if (std::string target = TargetOf(frontend); !target.empty()) {
        Hang(frontend, Place::kNatAddress, Place::kNatPort, "-j " + target);
      }
      if (std::string refusal = RefusalOf(frontend); !refusal.empty()) {
        Hang(frontend, Place::kFilterAddress, Place::kFilterPort, "-j " + refusal);
      }
    }
    Lists();
    if (port_.health_check_node_port != 0) {
      const uint16_t number = port_.health_check_node_port;
      rules_.hooks.push_back(
          {Place::kHealthPort,
           PortKey(number),
           {false, plan::Protocol::kTcp, number},
           PortMatch(plan::Protocol::kTcp, comment_ + " health check node port", number) + " -j ACCEPT"});
    }
    for (auto& [chain, body] : rules_.chains) CommentFirst(body, comment_);
    return std::move(rules_);
  }

 private:
  // A rule of its own at the frontend's address, or at its port.
  void Hang(const Frontend& frontend, Place address, Place port, std::string_view jump) {
    const std::string match = PortMatch(port_.key.protocol, comment_, frontend.port);
    const Slot slot{false, port_.key.protocol, frontend.port};
    if (frontend.kind == FrontendKind::kNodePort) {
      rules_.hooks.push_back({port, PortKey(frontend.port), slot, fmt::format("{} {}", match, jump)});
    } else {
      rules_.hooks.push_back(
          {address, frontend.address, slot, fmt::format("-d {} {} {}", Host(frontend.address), match, jump)});
    }
  }

  // The chain its packets go to; empty: they are not translated.
  std::string TargetOf(const Frontend& frontend) {
    if (frontend.kind == FrontendKind::kClusterIp) return ClusterIpTarget(frontend);
    if (port_.cluster.empty() && (!port_.external_local || port_.local.empty())) return {};
    if (!external_made_) MakeExternal(frontend);
    if (frontend.kind != FrontendKind::kLoadBalancer || !port_.has_source_ranges) return external_;
    return MakeFirewall();
  }

  std::string ClusterIpTarget(const Frontend& frontend) {
    const bool local = port_.internal_local;
    if ((local ? port_.local : port_.cluster).empty()) return {};
    const std::string& list = local ? local_ : cluster_;
    (local ? local_used_ : cluster_used_) = true;
    const std::string mark = MarkRule(frontend.masquerade);
    if (mark.empty()) return list;
    const bool shared = std::ranges::any_of(
        port_.frontends, [](const Frontend& other) { return other.kind != FrontendKind::kClusterIp; });
    if (!shared) {
      (local ? local_head_ : cluster_head_) = mark;
      return list;
    }
    const std::string chain = ServiceChain("INT", port_.key);
    if (!internal_made_) Chain(chain, {mark, "-j " + list});
    internal_made_ = true;
    return chain;
  }

  void MakeExternal(const Frontend& frontend) {
    external_made_ = true;
    std::vector<std::string> rules;
    if (!port_.external_local) {
      if (std::string mark = MarkRule(frontend.masquerade); !mark.empty()) rules.push_back(mark);
      rules.push_back("-j " + cluster_);
      cluster_used_ = true;
      return Chain(external_, rules);
    }
    if (!port_.cluster.empty()) {
      for (const std::string& pod : node_.pods) rules.push_back(fmt::format("{} -j {}", pod, cluster_));
      const std::string of_node = "-m addrtype --src-type LOCAL -j ";
      rules.push_back(of_node + "MARK --set-xmark " + node_.mark);
      rules.push_back(of_node + cluster_);
      cluster_used_ = true;
    }
    if (!port_.local.empty()) rules.push_back("-j " + local_);
    local_used_ = local_used_ || !port_.local.empty();
    Chain(external_, rules);
  }

  // Of a client in no range nothing is translated; table filter drops it.
  std::string MakeFirewall() {
    std::string chain = ServiceChain("FW", port_.key);
    if (firewall_made_) return chain;
    firewall_made_ = true;
    std::vector<std::string> rules;
    for (const Cidr& range : port_.source_ranges) {
      rules.push_back(
          fmt::format("{}-j {}", range.bits == 0 ? "" : "-s " + range.ToString() + " ", external_));
    }
    if (NodeInRanges()) {
      // The node may have the LB address as the source of what it sends there.
      for (const Frontend& frontend : port_.frontends) {
        if (frontend.kind != FrontendKind::kLoadBalancer) continue;
        const std::string host = Host(frontend.address);
        rules.push_back(fmt::format("-s {} -d {} -j {}", host, host, external_));
      }
    }
    Chain(chain, rules);
    return chain;
  }

  bool NodeInRanges() const {
    return std::ranges::any_of(port_.source_ranges, [&](const Cidr& range) {
      return std::ranges::any_of(node_.addresses,
                                 [&](const Address& address) { return range.Contains(address); });
    });
  }

  // What table filter does with packets to the frontend that were not translated.
  std::string RefusalOf(const Frontend& frontend) const {
    if (!port_.has_any) {
      // An ICMP error that arrives while connect() still has the socket is lost on it; a reset waits its
      // turn.
      if (port_.key.protocol == plan::Protocol::kTcp) return "REJECT --reject-with tcp-reset";
      return port_.key.family == Family::kIpv4 ? "REJECT --reject-with icmp-port-unreachable"
                                               : "REJECT --reject-with icmp6-port-unreachable";
    }
    const bool guarded = frontend.kind == FrontendKind::kLoadBalancer && port_.has_source_ranges;
    return guarded || port_.ListFor(frontend.kind, false).empty() ? "DROP" : "";
  }

  std::string MarkRule(Masquerade whose) const {
    switch (whose) {
      case Masquerade::kNobody:
        return {};
      case Masquerade::kOutside:
        return fmt::format("-j {}", kOutside);
      case Masquerade::kAll:
        return "-j MARK --set-xmark " + node_.mark;
    }
    return {};
  }

  void Lists() {
    if (cluster_used_) List(cluster_, port_.cluster, cluster_head_);
    if (local_used_) List(local_, port_.local, local_head_);
  }

  void List(const std::string& chain, const std::vector<plan::Backend>& backends, const std::string& head) {
    std::string body;
    if (!head.empty()) AddRule(body, chain, head);
    RenderBackends(port_, backends, chain, std::move(body), rules_.chains);
  }

  void Chain(const std::string& chain, const std::vector<std::string>& rules) {
    std::string body;
    for (const std::string& rule : rules) AddRule(body, chain, rule);
    rules_.chains.emplace_back(chain, std::move(body));
  }

  const ServicePort& port_;
  const NodeMatches& node_;
  const std::string comment_;
  const std::string cluster_, local_, external_;  // chains
  std::string cluster_head_, local_head_;
  bool cluster_used_ = false, local_used_ = false;
  bool internal_made_ = false, external_made_ = false, firewall_made_ = false;
  ServiceRules rules_;
};

}  // namespace

ServiceRules RenderService(const ServicePort& port, const NodeMatches& node) {
  return ServiceRenderer(port, node).Render();
}

}  // namespace fairlead::iptables
