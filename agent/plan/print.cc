// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/print.h"

#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::plan {

namespace {

std::string Text(const Frontend& frontend) {
  std::string text = frontend.kind == FrontendKind::kNodePort
                         ? fmt::format("NodePort {}", frontend.port)
                         : fmt::format("{} {}", FrontendKindName(frontend.kind),
                                       AddressPort(frontend.address, frontend.port));
  if (frontend.masquerade == Masquerade::kAll) text += " (masquerade)";
  if (frontend.masquerade == Masquerade::kOutside) text += " (masquerade outside)";
  return text;
}

std::string Text(const Backend& backend) {
  std::vector<std::string> notes;
  if (backend.local) notes.push_back("local");
  if (backend.terminating) notes.push_back("terminating");
  if (backend.weight != 1) notes.push_back(fmt::format("weight {}", backend.weight));
  std::string text = AddressPort(backend.address, backend.port);
  return notes.empty() ? text : fmt::format("{} ({})", text, fmt::join(notes, ", "));
}

std::string Text(const Address& address) {
  return address.ToString();
}
std::string Text(const Cidr& cidr) {
  return cidr.ToString();
}

template <typename T>
std::string Line(std::string_view name, const std::vector<T>& items) {
  if (items.empty()) return {};
  std::vector<std::string> texts;
  for (const T& item : items) texts.push_back(Text(item));
  return fmt::format("  {}: {}\n", name, fmt::join(texts, ", "));
}

std::string Line(std::string_view name, const std::vector<std::string>& items) {
  return items.empty() ? std::string() : fmt::format("  {}: {}\n", name, fmt::join(items, ", "));
}

}  // namespace

std::string Print(const ServicePort& port) {
  std::vector<std::string> policy;
  if (port.internal_local) policy.push_back("internal Local");
  if (port.external_local) policy.push_back("external Local");
  if (!port.has_any) policy.push_back("reject");
  if (port.affinity_timeout_s != 0) policy.push_back(fmt::format("affinity {} s", port.affinity_timeout_s));
  if (port.algorithm != Algorithm::kRandom) policy.emplace_back(AlgorithmName(port.algorithm));
  if (port.forwarding != Forwarding::kNat) policy.emplace_back(ForwardingName(port.forwarding));
  if (port.health_check_node_port != 0) {
    policy.push_back(fmt::format("health check node port {}", port.health_check_node_port));
  }
  return port.key.ToString() + "\n" + Line("frontends", port.frontends) + Line("cluster", port.cluster) +
         Line("local", port.local) + Line("draining", port.draining) + Line("policy", policy) +
         Line("source ranges", port.source_ranges);
}

std::string Print(const NodePlan& node) {
  std::vector<std::string> loopback;
  if (node.loopback_nodeports_v4) loopback.emplace_back("IPv4");
  if (node.loopback_nodeports_v6) loopback.emplace_back("IPv6");
  return "node\n" + Line("NodePort addresses", node.nodeport_addresses) +
         Line("NodePorts on loopback", loopback) + Line("service CIDRs", node.service_cidrs) +
         Line("pod CIDRs", node.pod_cidrs);
}

}  // namespace fairlead::plan
