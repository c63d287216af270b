// SPDX-License-Identifier: Apache-2.0
// Service ports of a plan in one line, masqueraded as the planner would have them with a local-traffic
// detector.
//
//   NftPort("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080 local", "10.180.2.11:8080"})
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::test {

// "address:port", and words after it: "local", "weight=3".
plan::Backend NftBackend(std::string_view text);

class NftPort {
 public:
  explicit NftPort(std::string_view service, std::string_view port = "http");

  NftPort& Protocol(plan::Protocol protocol);
  NftPort& Ipv6();
  NftPort& ClusterIp(std::string_view address, uint16_t port);
  NftPort& LoadBalancer(std::string_view address, uint16_t port);
  NftPort& NodePort(uint16_t port);
  NftPort& On(std::initializer_list<std::string_view> backends);       // the cluster list; has_any
  NftPort& On(std::vector<plan::Backend> backends);                    // likewise
  NftPort& LocalOn(std::initializer_list<std::string_view> backends);  // the local list; has_any
  NftPort& HasAny();                                                   // somewhere, in no list
  NftPort& InternalLocal();
  NftPort& ExternalLocal();  // before the frontends
  NftPort& Affinity(uint32_t timeout_s = 10800);
  NftPort& Ranges(std::initializer_list<std::string_view> cidrs);

  const plan::ServicePort& Get() const { return port_; }
  operator plan::Change() const;  // NOLINT: a builder stands for what it builds
  plan::Change Gone() const { return {port_.key, nullptr}; }

 private:
  NftPort& External(plan::FrontendKind kind, const Address& address, uint16_t port);
  plan::ServicePort port_;
};

}  // namespace fairlead::test
