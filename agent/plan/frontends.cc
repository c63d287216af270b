// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/frontends.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace fairlead::plan {

namespace {

// The names and numbers of the ports seen so far.
class SeenPorts {
 public:
  // The field of `port` that an earlier port has already; empty, and remembered, if there is none.
  std::string_view Clash(const kube::ServicePort& port) {
    if (names_.contains({port.name, port.protocol})) return "name";
    if (numbers_.contains({port.port, port.protocol})) return "port";
    if (port.node_port != 0 && node_ports_.contains({port.node_port, port.protocol})) return "nodePort";
    names_.emplace(port.name, port.protocol);
    numbers_.emplace(port.port, port.protocol);
    node_ports_.emplace(port.node_port, port.protocol);
    return {};
  }

 private:
  std::set<std::pair<std::string_view, Protocol>> names_;
  std::set<std::pair<uint16_t, Protocol>> numbers_;
  std::set<std::pair<uint16_t, Protocol>> node_ports_;
};

bool HasNodePort(const kube::Service& service, const kube::ServicePort& port) {
  return port.node_port != 0 &&
         (service.type == kube::ServiceType::kNodePort || service.type == kube::ServiceType::kLoadBalancer);
}

}  // namespace

bool Proxied(const kube::Service& service) {
  return !service.other_proxy && service.type != kube::ServiceType::kExternalName &&
         !service.cluster_ips.empty();
}

bool HasFamily(const kube::Service& service, Family family) {
  return std::any_of(service.cluster_ips.begin(), service.cluster_ips.end(),
                     [&](const Address& address) { return address.GetFamily() == family; });
}

std::vector<const kube::ServicePort*> UsablePorts(const kube::Service& service, Findings* findings) {
  std::vector<const kube::ServicePort*> usable;
  usable.reserve(service.ports.size());
  if (service.ports.size() == 1) {
    usable.push_back(service.ports.data());
    return usable;
  }
  SeenPorts seen;
  for (size_t i = 0; i < service.ports.size(); ++i) {
    const kube::ServicePort& port = service.ports[i];
    std::string_view field = seen.Clash(port);
    if (field.empty()) {
      usable.push_back(&port);
    } else if (findings != nullptr) {
      findings->push_back(
          {fmt::format("port {}", i),
           fmt::format("Service {}: spec.ports[{}].{}: expected one that no earlier port of protocol {} has; "
                       "port \"{}\" {}/{} is not served",
                       service.name.ToString(), i, field, kube::ProtocolName(port.protocol), port.name,
                       port.port, kube::ProtocolName(port.protocol))});
    }
  }
  return usable;
}

std::vector<Frontend> FrontendsOf(const kube::Service& service, const kube::ServicePort& port, Family family,
                                  const NodeFacts& facts) {
  std::vector<Frontend> frontends;
  frontends.reserve(service.cluster_ips.size() + service.load_balancer_ips.size() +
                    service.external_ips.size() + 1);
  auto add = [&](FrontendKind kind, const std::vector<Address>& addresses) {
    for (const Address& address : addresses) {
      if (address.GetFamily() == family) frontends.push_back({kind, address, port.port});
    }
  };
  add(FrontendKind::kClusterIp, service.cluster_ips);
  add(FrontendKind::kLoadBalancer, service.load_balancer_ips);
  if (!facts.refuse_external_ips) add(FrontendKind::kExternalIp, service.external_ips);
  // Of one address the first added stays.
  std::ranges::stable_sort(frontends, {}, &Frontend::address);
  auto tail = std::ranges::unique(frontends, {}, &Frontend::address);
  frontends.erase(tail.begin(), tail.end());
  if (HasNodePort(service, port)) {
    frontends.push_back({FrontendKind::kNodePort, AnyAddress(family), port.node_port});
  }
  std::sort(frontends.begin(), frontends.end());
  return frontends;
}

bool ExternallyAccessible(std::span<const Frontend> frontends) {
  return std::any_of(frontends.begin(), frontends.end(),
                     [](const Frontend& frontend) { return frontend.kind != FrontendKind::kClusterIp; });
}

Claim ClaimOf(const Frontend& frontend, Protocol protocol) {
  return {frontend.address, frontend.port, protocol};
}

std::vector<Claimed> ClaimsOf(const kube::Service& service, const NodeFacts& facts) {
  std::vector<Claimed> claims;
  for (const kube::ServicePort* port : UsablePorts(service, nullptr)) {
    for (Family family : kFamilies) {
      if (!HasFamily(service, family)) continue;
      for (const Frontend& frontend : FrontendsOf(service, *port, family, facts)) {
        claims.push_back({ClaimOf(frontend, port->protocol), frontend.kind == FrontendKind::kClusterIp});
      }
    }
  }
  return claims;
}

}  // namespace fairlead::plan
