// SPDX-License-Identifier: Apache-2.0
// A service port of the plan in one line, as the planner would give it.
//
//   PortOf("shop/cart:http").ClusterIp("172.30.0.10", 80).Backend("10.180.1.11:8080").Now()
#pragma once

#include <memory>
#include <string_view>

#include "agent/plan/plan.h"

namespace fairlead::test {

class PortOf {
 public:
  explicit PortOf(std::string_view name, plan::Protocol protocol = plan::Protocol::kTcp);  // "ns/name:port"

  PortOf& Ipv6();
  PortOf& ClusterIp(std::string_view address, uint16_t port,
                    plan::Masquerade masquerade = plan::Masquerade::kOutside);
  PortOf& ExternalIp(std::string_view address, uint16_t port);
  PortOf& LoadBalancerIp(std::string_view address, uint16_t port);
  PortOf& NodePort(uint16_t port);
  PortOf& Backend(std::string_view address, uint16_t port);       // on another node
  PortOf& LocalBackend(std::string_view address, uint16_t port);  // on this one
  PortOf& Elsewhere();  // there are endpoints, though none that this node's lists have
  PortOf& InternalLocal();
  PortOf& ExternalLocal();
  PortOf& Affinity(uint32_t timeout_s);
  PortOf& SourceRange(std::string_view cidr);
  PortOf& HealthCheckNodePort(uint16_t port);

  std::shared_ptr<const plan::ServicePort> Now() const;
  plan::Change Change() const { return {port_.key, Now()}; }
  plan::Change Removal() const { return {port_.key, nullptr}; }
  const plan::ServicePortKey& Key() const { return port_.key; }

 private:
  PortOf& Add(plan::FrontendKind kind, const Address& address, uint16_t port, plan::Masquerade masquerade);

  plan::ServicePort port_;
};

}  // namespace fairlead::test
