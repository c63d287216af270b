// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/endpoints.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace fairlead::plan {

namespace {

bool Ready(const ServiceEndpoint& e) {
  return e.endpoint->ready;
}

// Used when nothing is ready: on its way out, but still answering.
bool LastResort(const ServiceEndpoint& e) {
  return e.endpoint->serving && e.endpoint->terminating;
}

bool Names(const std::vector<Symbol>& hints, std::string_view word) {
  return std::any_of(hints.begin(), hints.end(), [&](const Symbol& hint) { return hint == word; });
}

// What topology allows here: every ready endpoint, or those whose hints of one kind name this node or zone.
struct Hint {
  std::vector<Symbol> kube::Endpoint::* hints = nullptr;  // null: no narrowing
  std::string_view word;

  bool Allows(const ServiceEndpoint& e) const { return hints == nullptr || Names(e.endpoint->*hints, word); }
};

// A kind of hint counts only if every ready endpoint has one of it and at least one names `hint.word`: a
// half-hinted service would lose the endpoints without.
bool Usable(std::span<const ServiceEndpoint> endpoints, const Hint& hint) {
  bool named = false;
  for (const ServiceEndpoint& e : endpoints) {
    if (!Ready(e)) continue;
    if ((e.endpoint->*hint.hints).empty()) return false;
    named = named || hint.Allows(e);
  }
  return named;
}

Hint ChooseHint(std::span<const ServiceEndpoint> endpoints, const NodeFacts& facts) {
  Hint node{&kube::Endpoint::node_hints, facts.name};
  if (facts.same_node_hints && Usable(endpoints, node)) return node;
  Hint zone{&kube::Endpoint::zone_hints, facts.zone};
  if (!facts.zone.empty() && Usable(endpoints, zone)) return zone;
  return {};
}

// The backends of the endpoints that `wanted` holds for, in order, in exactly the memory they need.
template <typename Predicate>
std::vector<Backend> Collect(std::span<const ServiceEndpoint> endpoints, Predicate wanted) {
  std::vector<Backend> backends;
  backends.reserve(static_cast<size_t>(std::count_if(endpoints.begin(), endpoints.end(), wanted)));
  for (const ServiceEndpoint& e : endpoints) {
    if (!wanted(e)) continue;
    backends.push_back({.address = e.address,
                        .port = e.port,
                        .local = e.local,
                        .terminating = e.endpoint->terminating && !e.endpoint->ready});
  }
  return backends;
}

}  // namespace

std::vector<ServiceEndpoint> MergeSlices(const std::map<std::string, kube::EndpointSlice>& slices,
                                         const std::string& port_name, Protocol protocol, Family family,
                                         const std::string& node_name) {
  std::vector<ServiceEndpoint> merged;
  for (const auto& [slice_name, slice] : slices) {
    if (slice.family != family || slice.headless || slice.fqdn) continue;
    for (const kube::SlicePort& port : slice.ports) {
      if (port.port == 0 || port.protocol != protocol || port.name != port_name) continue;
      merged.reserve(merged.size() + slice.endpoints.size());
      for (const kube::Endpoint& endpoint : slice.endpoints) {
        if (endpoint.address.GetFamily() != family) continue;
        bool local = !endpoint.node_name.Empty() && endpoint.node_name == node_name;
        merged.push_back({endpoint.address, port.port, local, &endpoint});
      }
    }
  }
  auto place = [](const ServiceEndpoint& e) { return std::tie(e.address, e.port); };
  std::stable_sort(merged.begin(), merged.end(), [&](const ServiceEndpoint& a, const ServiceEndpoint& b) {
    return std::tuple(place(a), a.endpoint->terminating) < std::tuple(place(b), b.endpoint->terminating);
  });
  auto tail =
      std::unique(merged.begin(), merged.end(),
                  [&](const ServiceEndpoint& a, const ServiceEndpoint& b) { return place(a) == place(b); });
  merged.erase(tail, merged.end());
  return merged;
}

void ChooseEndpoints(std::span<const ServiceEndpoint> endpoints, const NodeFacts& facts, ServicePort& port) {
  bool any_ready = std::any_of(endpoints.begin(), endpoints.end(), Ready);
  bool local_ready = std::any_of(endpoints.begin(), endpoints.end(),
                                 [](const ServiceEndpoint& e) { return e.local && Ready(e); });
  Hint hint = any_ready && port.needs_cluster ? ChooseHint(endpoints, facts) : Hint{};

  auto in_cluster = [&](const ServiceEndpoint& e) {
    return port.needs_cluster && (any_ready ? Ready(e) && hint.Allows(e) : LastResort(e));
  };
  auto in_local = [&](const ServiceEndpoint& e) {
    return port.needs_local && e.local && (local_ready ? Ready(e) : LastResort(e));
  };
  auto drains = [&](const ServiceEndpoint& e) {
    return e.endpoint->serving && !in_cluster(e) && !in_local(e);
  };
  port.has_any = any_ready || std::any_of(endpoints.begin(), endpoints.end(), LastResort);
  port.cluster = Collect(endpoints, in_cluster);
  port.local = Collect(endpoints, in_local);
  port.draining = Collect(endpoints, drains);
}

}  // namespace fairlead::plan
