// SPDX-License-Identifier: Apache-2.0
#include "agent/run/health_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.h"

namespace fairlead::run {

namespace {

HttpResponse Respond(const kube::ObjectName& service, size_t local_endpoints, bool healthy) {
  HttpResponse response;
  response.status = local_endpoints > 0 && healthy ? 200 : 503;
  response.content_type = "application/json";
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("X-Load-Balancing-Endpoint-Weight", std::to_string(local_endpoints));
  response.body = fmt::format(
      "{{\n"
      "\t\"service\": {{\n"
      "\t\t\"namespace\": \"{}\",\n"
      "\t\t\"name\": \"{}\"\n"
      "\t}},\n"
      "\t\"localEndpoints\": {},\n"
      "\t\"serviceProxyHealthy\": {}\n"
      "}}",
      service.ns, service.name, local_endpoints, healthy);
  return response;
}

}  // namespace

Result<HealthChecks> HealthChecks::Create(const Health& health) {
  auto http = HttpServer::Create();
  if (!http) return Unexpected(std::move(http.error()).In("health check node ports"));
  return HealthChecks(health, *std::move(http));
}

void HealthChecks::ListenOn(Family family, std::vector<Address> addresses) {
  if (AddressesOf(family) == addresses) return;
  AddressesOf(family) = std::move(addresses);
  for (auto& [key, server] : servers_) {
    if (key.second != family) continue;
    std::erase_if(server.listeners, [&](const auto& listener) {
      bool stays = std::ranges::find(AddressesOf(family), listener.first) != AddressesOf(family).end();
      if (!stays) http_.Remove(listener.second);
      return !stays;
    });
    to_open_.insert(key);
  }
}

void HealthChecks::Set(const kube::ObjectName& service, const std::vector<plan::HealthCheck>& checks) {
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    const Key key{service, family};
    auto check = std::ranges::find(checks, family, &plan::HealthCheck::family);
    auto known = servers_.find(key);
    if (known != servers_.end() && (check == checks.end() || check->port != known->second.port)) {
      Close(known->second);
      servers_.erase(known);
      to_open_.erase(key);
      known = servers_.end();
    }
    if (check == checks.end()) continue;
    if (known == servers_.end()) {
      known = servers_.try_emplace(key).first;
      known->second.port = check->port;
      known->second.subject = std::make_shared<Subject>();
      known->second.subject->service = service;
      to_open_.insert(key);
    }
    known->second.subject->local_endpoints = check->local_endpoints;
  }
}

void HealthChecks::Open() {
  std::erase_if(to_open_, [&](const Key& key) {
    Server& server = servers_.at(key);
    auto opened = OpenServer(key.second, server);
    std::string error = opened ? "" : opened.error().message;
    if (!error.empty() && error != server.error) {
      spdlog::warn("Service {}: spec.healthCheckNodePort: {}; trying again", key.first.ToString(), error);
    }
    server.error = std::move(error);
    return opened.has_value();
  });
}

Result<void> HealthChecks::OpenServer(Family family, Server& server) {
  Result<void> outcome;
  for (const Address& address : AddressesOf(family)) {
    if (server.listeners.contains(address)) continue;
    if (auto id = http_.Add(address, server.port, RoutesOf(server.subject))) {
      server.listeners.emplace(address, *id);
    } else if (outcome) {
      outcome = Unexpected(std::move(id.error()));
    }
  }
  return outcome;
}

void HealthChecks::Close(Server& server) {
  for (const auto& [address, id] : server.listeners) http_.Remove(id);
}

HttpRoutes HealthChecks::RoutesOf(const std::shared_ptr<const Subject>& subject) const {
  return {{"*", [subject, health = health_](const HttpRequest&) {
             return Respond(subject->service, subject->local_endpoints, health->IsHealthy());
           }}};
}

}  // namespace fairlead::run
