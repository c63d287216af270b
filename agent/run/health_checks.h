// SPDX-License-Identifier: Apache-2.0
// The HTTP servers of Services' health check node ports: SEMANTICS of kube-proxy's
// pkg/proxy/healthcheck/service_health.go. A load balancer outside asks which nodes have endpoints of a
// Service with externalTrafficPolicy: Local.
//
// One thread answers for all of them. The functions here are the syncer's.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/plan/health.h"
#include "agent/run/health.h"
#include "agent/run/http_server.h"

namespace fairlead::run {

class HealthChecks {
 public:
  // `health` outlives this.
  static Result<HealthChecks> Create(const Health& health);

  // Where the servers of a family listen from now on (plan::HealthCheckAddresses).
  void ListenOn(Family family, std::vector<Address> addresses);
  // What `service` has from now on, at most one a family. Counts are as given at once; a server that goes or
  // moves is closed; one that comes is opened by the next Open.
  void Set(const kube::ObjectName& service, const std::vector<plan::HealthCheck>& checks);
  // Opens what is not open. What cannot be opened is said once while that lasts, and stays for the next call.
  void Open();

 private:
  // What is answered; the HTTP thread reads it.
  struct Subject {
    kube::ObjectName service;
    std::atomic<size_t> local_endpoints = 0;
  };
  struct Server {
    uint16_t port = 0;
    std::shared_ptr<Subject> subject;
    std::map<Address, HttpServer::ListenerId> listeners;
    std::string error;  // as said
  };
  using Key = std::pair<kube::ObjectName, Family>;

  HealthChecks(const Health& health, HttpServer http) : health_(&health), http_(std::move(http)) {}

  std::vector<Address>& AddressesOf(Family family) { return addresses_[family == Family::kIpv6]; }
  // Opens the addresses that are not; why one could not be.
  Result<void> OpenServer(Family family, Server& server);
  void Close(Server& server);
  HttpRoutes RoutesOf(const std::shared_ptr<const Subject>& subject) const;

  const Health* health_;
  HttpServer http_;
  std::array<std::vector<Address>, 2> addresses_;  // IPv4, IPv6
  std::map<Key, Server> servers_;
  std::set<Key> to_open_;
};

}  // namespace fairlead::run
