// SPDX-License-Identifier: Apache-2.0
// A service port of the plan in one line, as the planner gives it on a node without a local-traffic detector:
// cluster IPs masquerade nobody; what clients outside use masquerades everybody, unless policy Local or DSR
// keeps the source. A test of a node with a detector says so: ClusterIp(..., 80, Masquerade::kOutside).
//
//   PortOf("shop/cart").ClusterIp("172.30.0.10", 80).On({"10.180.1.11:8080 local", "10.180.2.11:8080"})
//   PortOf("shop/dns:dns").Udp().NodePort(30053).ExternalLocal().LocalOn({"10.180.1.12:53"})
//
// The family is that of the addresses, IPv4 without any. Whatever the order of the calls, frontends, backends
// and ranges come out sorted. Which list a backend is in is the test's word, whatever the policies.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::test {

class PortOf {
 public:
  explicit PortOf(std::string_view name);  // "ns/name:port", or "ns/name" for port http

  PortOf& Udp();
  PortOf& Sctp();
  PortOf& ClusterIp(std::string_view address, uint16_t port,
                    plan::Masquerade masquerade = plan::Masquerade::kNobody);
  PortOf& ExternalIp(std::string_view address, uint16_t port);
  PortOf& LoadBalancer(std::string_view address, uint16_t port);
  PortOf& NodePort(uint16_t port);
  // The cluster list; backends in the words of BackendOf.
  PortOf& On(std::initializer_list<std::string_view> backends);
  PortOf& On(std::vector<plan::Backend> backends);
  // The local list, which is needed then; each is local.
  PortOf& LocalOn(std::initializer_list<std::string_view> backends);
  PortOf& Draining(std::initializer_list<std::string_view> backends);
  PortOf& Elsewhere();  // there are endpoints, though in no list
  PortOf& InternalLocal();
  PortOf& ExternalLocal();
  PortOf& Dsr();
  PortOf& Affinity(uint32_t timeout_s = 10800);
  PortOf& Maglev();
  PortOf& Scheduler(std::string_view scheduler);
  PortOf& Ranges(std::initializer_list<std::string_view> cidrs);  // none: nobody may
  PortOf& HealthCheckNodePort(uint16_t port);

  const plan::ServicePort& Get() const { return port_; }
  operator plan::Change() const;  // NOLINT: a builder stands for what it builds

 private:
  PortOf& Add(plan::FrontendKind kind, const Address& address, uint16_t port, plan::Masquerade masquerade);
  PortOf& AddExternal(plan::FrontendKind kind, const Address& address, uint16_t port);
  void KeepSources();
  void SetFamily(Family family);
  void Fill(std::vector<plan::Backend>& list, std::vector<plan::Backend> backends);

  plan::ServicePort port_;
};

plan::Change Gone(const PortOf& port);

// "address:port", "[address]:port", and words after it: "local", "terminating", "weight=3". Text that is none
// of it aborts: it is a mistake in the test.
plan::Backend BackendOf(std::string_view text);
// 10.200.x.y:8080, `count` of them, from index `first`.
std::vector<plan::Backend> Backends(uint32_t count, uint32_t first = 0);

}  // namespace fairlead::test
