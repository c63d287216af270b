// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/node_rules.h"

#include <fmt/format.h>

namespace fairlead::iptables {

namespace {

using netfilter::LocalTraffic;
using netfilter::NetfilterOptions;

// Programs for xt_bpf that accept a packet whose source is its destination, by the network header: one rule
// for every backend that reaches itself through a Service.
constexpr std::string_view kToItself4 =
    "-m bpf --bytecode \"6,32 0 0 12,7 0 0 0,32 0 0 16,29 0 1 0,6 0 0 65535,6 0 0 0\"";
constexpr std::string_view kToItself6 =
    "-m bpf --bytecode \"18,32 0 0 20,7 0 0 0,32 0 0 36,29 0 13 0,32 0 0 16,7 0 0 0,32 0 0 32,29 0 9 0,"
    "32 0 0 12,7 0 0 0,32 0 0 28,29 0 5 0,32 0 0 8,7 0 0 0,32 0 0 24,29 0 1 0,6 0 0 65535,6 0 0 0\"";

class NodeRenderer {
 public:
  NodeRenderer(Family family, const NetfilterOptions& options, const plan::NodePlan& node)
      : family_(family),
        options_(options),
        node_(node),
        matches_(MatchesOf(family, options, node)),
        only_(options.serves == netfilter::Serves::kOnlySctp ? "-p sctp " : "") {}

  NodeRules Render(bool guarded) {
    Translation();
    Masquerading();
    Refusal();
    Forwarding();
    if (family_ != Family::kIpv4) return std::move(rules_);
    if (guarded || node_.loopback_nodeports_v4) Guard();
    if (node_.loopback_nodeports_v4) CountLocalhost();
    return std::move(rules_);
  }

 private:
  void Translation() {
    Hook(Table::kNat, "PREROUTING", only_, kServices, "fairlead services");
    Hook(Table::kNat, "OUTPUT", only_, kServices, "fairlead services");
    if (family_ == Family::kIpv4 && node_.loopback_nodeports_v4) {
      Hook(Table::kNat, "OUTPUT", "-d 127.0.0.0/8 " + only_, kNodePorts, "fairlead NodePorts of localhost");
    }
    ByProtocol(Table::kNat);
    Chain(Table::kNat, kOutside);
    // Without a detector nobody is told from pods, and nobody is marked.
    for (const std::string& pod : matches_.pods) Rule(Table::kNat, kOutside, pod + " -j RETURN");
    if (!matches_.pods.empty()) Rule(Table::kNat, kOutside, "-j MARK --set-xmark " + matches_.mark);
  }

  void ByProtocol(Table table) {
    for (std::string_view protocol : {"tcp", "udp", "sctp"}) {
      Rule(table, kNodePorts, fmt::format("-p {} -j {}", protocol, PortChain(protocol)));
    }
  }

  static std::string PortChain(std::string_view protocol) {
    std::string chain = "FAIRLEAD-";
    for (char c : protocol) chain += static_cast<char>(c - 'a' + 'A');
    return chain;
  }

  // The bit is taken off the packet again, so that it is not evaluated once more after encapsulation.
  void Masquerading() {
    Hook(Table::kNat, "POSTROUTING", only_, kPostrouting, "fairlead masquerading");
    const std::string_view itself = family_ == Family::kIpv4 ? kToItself4 : kToItself6;
    Rule(Table::kNat, kPostrouting,
         fmt::format("-m conntrack --ctstate DNAT {} -j MARK --set-xmark {}", itself, matches_.mark));
    Rule(Table::kNat, kPostrouting, fmt::format("-m mark ! --mark {} -j RETURN", matches_.mark));
    Rule(Table::kNat, kPostrouting, fmt::format("-j MARK --set-xmark 0x{:x}/0x0", options_.mark));
    Rule(Table::kNat, kPostrouting, "-j MASQUERADE --random-fully");
  }

  void Refusal() {
    ByProtocol(Table::kFilter);
    const std::string fresh = only_ + "-m conntrack --ctstate NEW ";
    for (std::string_view from : {"INPUT", "FORWARD", "OUTPUT"}) {
      Hook(Table::kFilter, from, fresh, kServices, "fairlead services nobody serves");
      if (from == "FORWARD") continue;
      Hook(Table::kFilter, from, fresh + "-m addrtype --dst-type LOCAL ", kNodePorts,
           "fairlead NodePorts nobody serves");
    }
    if (options_.serves == netfilter::Serves::kAll)
      Hook(Table::kFilter, "INPUT", "-p tcp ", kHealth, "fairlead health check node ports");
  }

  // What was marked is let through where the host's own policy would drop what it forwards. A segment that
  // nf_conntrack finds invalid would reach the client with the backend's address, and be answered by a reset.
  void Forwarding() {
    Hook(Table::kFilter, "FORWARD", only_, kForward, "fairlead forwarding");
    Chain(Table::kFilter, kForward);
    if (!options_.tcp_be_liberal) Rule(Table::kFilter, kForward, std::string(kInvalid) + " -j DROP");
    Rule(Table::kFilter, kForward, fmt::format("-m mark --mark {} -j ACCEPT", matches_.mark));
    Rule(Table::kFilter, kForward, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
  }

  // route_localnet lets packets to 127.0.0.0/8 in from elsewhere, whatever source they claim: none but the
  // answers to what went out from there may come.
  void Guard() {
    Hook(Table::kFilter, "INPUT", "", kFirewall, "fairlead guard of localhost");
    Rule(Table::kFilter, kFirewall,
         "-d 127.0.0.0/8 ! -i lo -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP");
  }

  // A connection of the node's own that began there and was translated.
  void CountLocalhost() {
    Hook(Table::kFilter, "OUTPUT", "-s 127.0.0.0/8 " + only_ + "-m conntrack --ctstate NEW ", kLocalhost,
         "fairlead NodePorts of localhost");
    Rule(Table::kFilter, kLocalhost, std::string(kViaLocalhost));
  }

  void Hook(Table table, std::string_view from, std::string_view match, std::string_view to,
            std::string_view comment) {
    rules_.jumps.push_back(
        {table, std::string(from), fmt::format("{}{} -j {}", match, CommentMatch(comment), to)});
  }
  void Chain(Table table, std::string_view chain) {
    rules_.chains[static_cast<size_t>(table)][std::string(chain)];
  }
  void Rule(Table table, std::string_view chain, const std::string& rule) {
    AddRule(rules_.chains[static_cast<size_t>(table)][std::string(chain)], chain, rule);
  }

  Family family_;
  const NetfilterOptions& options_;
  const plan::NodePlan& node_;
  const NodeMatches matches_;
  const std::string only_;  // what of the packets is our business
  NodeRules rules_;
};

}  // namespace

NodeMatches MatchesOf(Family family, const NetfilterOptions& options, const plan::NodePlan& node) {
  NodeMatches matches;
  matches.mark = fmt::format("0x{:x}/0x{:x}", options.mark, options.mark);
  for (const Address& address : node.nodeport_addresses) {
    if (address.GetFamily() == family) matches.addresses.push_back(address);
  }
  const LocalTraffic& local = options.local_traffic;
  switch (local.by) {
    case LocalTraffic::By::kNothing:
      break;
    case LocalTraffic::By::kBridge:
      matches.pods.push_back("-i " + local.device);
      break;
    case LocalTraffic::By::kDevicePrefix:
      matches.pods.push_back("-i " + local.device + "+");
      break;
    case LocalTraffic::By::kPrefix:
      for (const Cidr& cidr : node.pod_cidrs) {
        if (cidr.GetFamily() == family) matches.pods.push_back("-s " + cidr.ToString());
      }
      break;
  }
  return matches;
}

NodeRules RenderNode(Family family, const NetfilterOptions& options, const plan::NodePlan& node,
                     bool guarded) {
  return NodeRenderer(family, options, node).Render(guarded);
}

}  // namespace fairlead::iptables
