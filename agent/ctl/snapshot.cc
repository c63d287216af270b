// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/snapshot.h"

#include <algorithm>

namespace fairlead::ctl {

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kClusterIp:
      return "ClusterIP";
    case Kind::kNodePort:
      return "NodePort";
    case Kind::kExternal:
      return "External";
  }
  return "";
}

std::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kAll:
      return "all";
    case Scope::kCluster:
      return "cluster";
    case Scope::kExternal:
      return "external";
  }
  return "";
}

size_t Frontend::Draining() const {
  return static_cast<size_t>(std::count_if(backends.begin(), backends.end(),
                                           [](const Backend& backend) { return backend.draining; }));
}

size_t Frontend::Offered() const {
  return backends.size() - Draining();
}

bool Filter::MatchesService(const Frontend& frontend) const {
  const kube::ObjectName& service = frontend.service.service;
  return (ns.empty() || ns == service.ns) && (name.empty() || name == service.name);
}

bool Filter::MatchesEndpoint(const Address& at, uint16_t at_port) const {
  return (address.empty() || address == at.ToString()) && (port == 0 || port == at_port);
}

bool Filter::Matches(const Frontend& frontend) const {
  if (!MatchesService(frontend)) return false;
  if (MatchesEndpoint(frontend.address, frontend.port)) return true;
  return std::any_of(frontend.backends.begin(), frontend.backends.end(), [this](const Backend& backend) {
    return MatchesEndpoint(backend.address, backend.port);
  });
}

bool Filter::Matches(const Frontend& frontend, const Backend& backend) const {
  if (!MatchesService(frontend)) return false;
  return MatchesEndpoint(frontend.address, frontend.port) || MatchesEndpoint(backend.address, backend.port);
}

}  // namespace fairlead::ctl
