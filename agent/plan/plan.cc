// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/plan.h"

#include <fmt/format.h>

namespace fairlead::plan {

std::string ServicePortKey::ToString() const {
  return fmt::format("{}:{}/{} {}", service.ToString(), port, kube::ProtocolName(protocol),
                     FamilyName(family));
}

std::string_view FrontendKindName(FrontendKind kind) {
  static constexpr std::string_view kNames[] = {"ClusterIP", "ExternalIP", "LoadBalancer", "NodePort"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view ForwardingName(Forwarding forwarding) {
  return forwarding == Forwarding::kDsr ? "dsr" : "nat";
}

std::string_view AlgorithmName(Algorithm algorithm) {
  return algorithm == Algorithm::kMaglev ? "maglev" : "random";
}

Address AnyAddress(Family family) {
  Address any;
  if (family == Family::kIpv4) any.raw.words[2] = IP_ADDR_V4_PREFIX;
  return any;
}

const std::vector<Backend>& ServicePort::ListFor(FrontendKind kind, bool client_inside) const {
  bool use_local = kind == FrontendKind::kClusterIp ? internal_local : external_local && !client_inside;
  return use_local ? local : cluster;
}

}  // namespace fairlead::plan
