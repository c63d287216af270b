// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/render.h"

#include <linux/ip_vs.h>

#include <algorithm>

#include <fmt/format.h>

namespace fairlead::ipvs {

namespace {

using plan::Backend;
using plan::Frontend;
using plan::FrontendKind;
using plan::ServicePort;

bool IsLocalPolicy(const ServicePort& port, FrontendKind kind) {
  return kind == FrontendKind::kClusterIp ? port.internal_local : port.external_local;
}

// A cluster IP that nobody outside can name has no cluster list with policy Local, so it refuses.
const std::vector<Backend>& ListOf(const ServicePort& port, FrontendKind kind) {
  return IsLocalPolicy(port, kind) && !port.local.empty() ? port.local : port.cluster;
}

ServerOptions OptionsOf(const ServicePort& port, const std::string& scheduler) {
  ServerOptions options;
  options.scheduler = port.scheduler.empty() ? scheduler : port.scheduler;
  options.flags = SchedulerFlags(options.scheduler);
  if (port.affinity_timeout_s == 0) return options;
  options.flags |= IP_VS_SVC_F_PERSISTENT;
  options.affinity_timeout_s = port.affinity_timeout_s;
  return options;
}

VirtualServer ServerOf(const ServicePort& port, FrontendKind kind, const ServerKey& key,
                       const ServerOptions& options) {
  VirtualServer server{key, options, {}, {}};
  for (const Backend& backend : ListOf(port, kind))
    server.backends.emplace(BackendKey{backend.address, backend.port}, backend.weight);
  if (key.protocol != plan::Protocol::kUdp) return server;
  for (const auto* list : {&port.cluster, &port.local, &port.draining}) {
    for (const Backend& backend : *list) {
      const BackendKey candidate{backend.address, backend.port};
      if (!server.backends.contains(candidate)) server.lingering.push_back(candidate);
    }
  }
  std::ranges::sort(server.lingering);
  const auto tail = std::ranges::unique(server.lingering);
  server.lingering.erase(tail.begin(), tail.end());
  return server;
}

bool HasChoice(const VirtualServer& server) {
  return std::ranges::any_of(server.backends, [](const auto& backend) { return backend.second != 0; });
}

void AddGuards(const ServicePort& port, const Frontend& frontend, const ServerKey& key,
               std::vector<Element>& elements) {
  const Family family = port.key.family;
  const std::string text = FrontendText(key);
  const auto add = [&](SetKind kind, std::string what) {
    elements.push_back({{kind, family}, std::move(what)});
  };
  if (frontend.masquerade == plan::Masquerade::kAll) add(SetKind::kMasqAll, text);
  if (frontend.masquerade == plan::Masquerade::kOutside) add(SetKind::kMasqOutside, text);
  const bool external = frontend.kind != FrontendKind::kClusterIp;
  if (external && port.external_local && port.has_any && port.local.empty()) add(SetKind::kLocalNone, text);
  if (frontend.kind != FrontendKind::kLoadBalancer || !port.has_source_ranges) return;
  add(SetKind::kRanged, text);
  for (const Cidr& range : port.source_ranges) {
    for (const std::string& net : NetTexts(range)) add(SetKind::kRanges, fmt::format("{},{}", text, net));
  }
}

// Local ones only: what a pod elsewhere sends to itself does not come back by this node.
void AddHairpins(const ServicePort& port, std::vector<Element>& elements) {
  for (const auto* list : {&port.cluster, &port.local}) {
    for (const Backend& backend : *list) {
      if (!backend.local) continue;
      const std::string text = FrontendText({backend.address, backend.port, port.key.protocol});
      elements.push_back(
          {{SetKind::kHairpin, port.key.family}, fmt::format("{},{}", text, backend.address.ToString())});
    }
  }
}

}  // namespace

Contribution Render(const ServicePort& port, std::span<const Address> nodeport_addresses,
                    const std::string& scheduler) {
  Contribution made;
  const ServerOptions options = OptionsOf(port, scheduler);
  const auto add = [&](const Frontend& frontend, const Address& address) {
    const ServerKey key{address, frontend.port, port.key.protocol};
    made.servers.push_back(ServerOf(port, frontend.kind, key, options));
    if (!HasChoice(made.servers.back()))
      made.elements.push_back({{SetKind::kNoBackends, port.key.family}, FrontendText(key)});
    AddGuards(port, frontend, key, made.elements);
  };
  for (const Frontend& frontend : port.frontends) {
    if (frontend.kind == FrontendKind::kNodePort) {
      for (const Address& address : nodeport_addresses) {
        if (address.GetFamily() == port.key.family) add(frontend, address);
      }
    } else {
      add(frontend, frontend.address);
      made.addresses.push_back(frontend.address);
    }
  }
  AddHairpins(port, made.elements);
  if (port.health_check_node_port != 0)
    made.elements.push_back(
        {{SetKind::kHealth, port.key.family}, fmt::format("{}", port.health_check_node_port)});
  std::ranges::sort(made.elements);
  const auto tail = std::ranges::unique(made.elements);
  made.elements.erase(tail.begin(), tail.end());
  return made;
}

std::vector<Element> RenderNode(const plan::NodePlan& node) {
  std::vector<Element> elements;
  for (const Cidr& pods : node.pod_cidrs) {
    for (std::string& net : NetTexts(pods))
      elements.push_back({{SetKind::kPods, pods.GetFamily()}, std::move(net)});
  }
  std::ranges::sort(elements);
  return elements;
}

}  // namespace fairlead::ipvs
