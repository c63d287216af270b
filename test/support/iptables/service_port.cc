// SPDX-License-Identifier: Apache-2.0
#include "test/support/iptables/service_port.h"

#include <algorithm>
#include <string>

#include "test/support/objects.h"

namespace fairlead::test {

using plan::FrontendKind;
using plan::Masquerade;

PortOf::PortOf(std::string_view name, plan::Protocol protocol) {
  const size_t colon = name.find(':');
  port_.key = {Name(name.substr(0, colon)), std::string(name.substr(colon + 1)), protocol, Family::kIpv4};
}

PortOf& PortOf::Ipv6() {
  port_.key.family = Family::kIpv6;
  return *this;
}

PortOf& PortOf::Add(FrontendKind kind, const Address& address, uint16_t port, Masquerade masquerade) {
  port_.frontends.push_back({kind, address, port, masquerade});
  std::ranges::sort(port_.frontends);
  return *this;
}

PortOf& PortOf::ClusterIp(std::string_view address, uint16_t port, Masquerade masquerade) {
  return Add(FrontendKind::kClusterIp, Addr(address), port, masquerade);
}
PortOf& PortOf::ExternalIp(std::string_view address, uint16_t port) {
  return Add(FrontendKind::kExternalIp, Addr(address), port, Masquerade::kAll);
}
PortOf& PortOf::LoadBalancerIp(std::string_view address, uint16_t port) {
  return Add(FrontendKind::kLoadBalancer, Addr(address), port, Masquerade::kAll);
}
PortOf& PortOf::NodePort(uint16_t port) {
  return Add(FrontendKind::kNodePort, plan::AnyAddress(port_.key.family), port, Masquerade::kAll);
}

PortOf& PortOf::Backend(std::string_view address, uint16_t port) {
  port_.cluster.push_back({Addr(address), port});
  std::ranges::sort(port_.cluster);
  return Elsewhere();
}
PortOf& PortOf::LocalBackend(std::string_view address, uint16_t port) {
  port_.cluster.push_back({Addr(address), port, true});
  port_.local.push_back(port_.cluster.back());
  std::ranges::sort(port_.cluster);
  std::ranges::sort(port_.local);
  return Elsewhere();
}
PortOf& PortOf::Elsewhere() {
  port_.has_any = true;
  return *this;
}

PortOf& PortOf::InternalLocal() {
  port_.internal_local = true;
  return *this;
}
PortOf& PortOf::ExternalLocal() {
  port_.external_local = true;
  for (plan::Frontend& frontend : port_.frontends) {
    if (frontend.kind != FrontendKind::kClusterIp) frontend.masquerade = Masquerade::kNobody;
  }
  return *this;
}
PortOf& PortOf::Affinity(uint32_t timeout_s) {
  port_.affinity_timeout_s = timeout_s;
  return *this;
}
PortOf& PortOf::SourceRange(std::string_view cidr) {
  port_.source_ranges.push_back(Range(cidr));
  port_.has_source_ranges = true;
  return *this;
}
PortOf& PortOf::HealthCheckNodePort(uint16_t port) {
  port_.health_check_node_port = port;
  return *this;
}

std::shared_ptr<const plan::ServicePort> PortOf::Now() const {
  return std::make_shared<const plan::ServicePort>(port_);
}

}  // namespace fairlead::test
