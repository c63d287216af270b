// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/service.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "agent/plan/endpoints.h"
#include "agent/plan/frontends.h"
#include "agent/plan/node.h"
#include "agent/plan/settings.h"

namespace fairlead::plan {

namespace {

std::string_view FieldOf(FrontendKind kind) {
  static constexpr std::string_view kFields[] = {"spec.clusterIPs", "spec.externalIPs",
                                                 "status.loadBalancer.ingress", "spec.ports[].nodePort"};
  return kFields[static_cast<size_t>(kind)];
}

Finding LostClaim(const ServicePortKey& key, const Frontend& frontend, const ObjectName& holder) {
  std::string what = frontend.kind == FrontendKind::kNodePort ? fmt::format("{}", frontend.port)
                                                              : AddressPort(frontend.address, frontend.port);
  what = fmt::format("{}: {}/{}", FieldOf(frontend.kind), what, kube::ProtocolName(key.protocol));
  return {
      fmt::format("{} {}", what, holder.ToString()),
      fmt::format(
          "Service {}: {} is Service {}'s already, which goes first by cluster IP, age or name; it is not "
          "served for this one",
          key.service.ToString(), what, holder.ToString())};
}

// The policy as the service states it, whether or not it has an address for it yet.
bool ExternalPolicyLocal(const kube::Service& service) {
  return service.external_local &&
         (service.type == kube::ServiceType::kNodePort || service.type == kube::ServiceType::kLoadBalancer ||
          !service.external_ips.empty());
}

void SetPolicies(const kube::Service& service, bool accessible, ServicePort& port) {
  bool external_local = ExternalPolicyLocal(service);
  if (external_local && service.type == kube::ServiceType::kLoadBalancer) {
    port.health_check_node_port = service.health_check_node_port;
  }
  port.internal_local = service.internal_local;
  port.external_local = external_local && accessible;
  port.needs_cluster = !port.internal_local || accessible;
  port.needs_local = port.internal_local || port.external_local || port.health_check_node_port != 0;
  port.affinity_timeout_s = service.affinity_timeout_s;
}

// SEMANTICS of kube-proxy's masquerading (pkg/proxy/iptables/proxier.go). With policy Local pods get the
// cluster list and keep their address, clients outside get the local list and keep theirs; the node's own
// connections are translated at the socket. A Service with DSR keeps its clients' addresses everywhere.
Masquerade MasqueradeOf(FrontendKind kind, const ServicePort& port, const NodeFacts& facts) {
  if (kind == FrontendKind::kClusterIp) {
    if (facts.masquerade_all) return Masquerade::kAll;
    return DetectsPods(facts, port.key.family) ? Masquerade::kOutside : Masquerade::kNobody;
  }
  bool keeps_source = port.external_local || port.forwarding == Forwarding::kDsr;
  return keeps_source ? Masquerade::kNobody : Masquerade::kAll;
}

// Source ranges of the port's family. A node that is allowed in may use the load balancer address, which it
// has on a device then, as its source: so that is allowed too.
void SetSourceRanges(const kube::Service& service, const NodeFacts& facts, ServicePort& port) {
  for (const Cidr& range : service.source_ranges) {
    if (range.GetFamily() == port.key.family) port.source_ranges.push_back(range);
  }
  port.has_source_ranges = !port.source_ranges.empty();
  bool node_allowed =
      std::any_of(facts.addresses.begin(), facts.addresses.end(), [&](const Address& address) {
        return std::any_of(port.source_ranges.begin(), port.source_ranges.end(),
                           [&](const Cidr& range) { return range.Contains(address); });
      });
  for (const Address& address : service.load_balancer_ips) {
    if (!node_allowed || address.GetFamily() != port.key.family) continue;
    port.source_ranges.push_back(
        {address, static_cast<uint8_t>(port.key.family == Family::kIpv4 ? 32 : 128)});
  }
  std::sort(port.source_ranges.begin(), port.source_ranges.end());
  auto tail = std::unique(port.source_ranges.begin(), port.source_ranges.end());
  port.source_ranges.erase(tail, port.source_ranges.end());
}

void Weigh(const std::map<Address, uint16_t>& weights, std::vector<Backend>& backends) {
  for (Backend& backend : backends) {
    auto it = weights.find(backend.address);
    if (it != weights.end()) backend.weight = it->second;
  }
}

// Cuts a list to what it may hold.
void Limit(const ServicePortKey& key, std::string_view list, std::vector<Backend>& backends,
           Findings& findings) {
  if (backends.size() <= kMaxBackends) return;
  findings.push_back(
      {fmt::format("too many {} {}", list, key.ToString()),
       fmt::format("Service {}: expected at most {} {} backends, got {}; the last {} by address "
                   "are left out",
                   key.ToString(), kMaxBackends, list, backends.size(), backends.size() - kMaxBackends)});
  backends.resize(kMaxBackends);
  backends.shrink_to_fit();
}

void SetBackends(const std::map<std::string, kube::EndpointSlice>& slices, const NodeFacts& facts,
                 const Settings& settings, ServicePort& port, Findings& findings) {
  std::vector<ServiceEndpoint> endpoints =
      MergeSlices(slices, port.key.port, port.key.protocol, port.key.family, facts.name);
  ChooseEndpoints(endpoints, facts, port);
  struct List {
    std::string_view name;
    std::vector<Backend>& backends;
  };
  for (const List& list :
       {List{"cluster", port.cluster}, {"local", port.local}, {"draining", port.draining}}) {
    if (!settings.weights.empty()) Weigh(settings.weights, list.backends);
    Limit(port.key, list.name, list.backends, findings);
  }
}

}  // namespace

std::vector<ServicePort> PlanService(const kube::Service& service,
                                     const std::map<std::string, kube::EndpointSlice>* slices,
                                     const NodeFacts& facts, const Claims& claims, Findings& findings) {
  std::string name = service.name.ToString();
  if (service.ports.empty()) {
    findings.push_back({"no ports", fmt::format("Service {}: spec.ports: expected at least one", name)});
  }
  if (facts.refuse_external_ips && !service.external_ips.empty()) {
    findings.push_back({"external IPs", fmt::format("Service {}: spec.externalIPs: refused by configuration; "
                                                    "the service is not served on them",
                                                    name)});
  }
  Settings settings = ReadSettings(service, facts, findings);

  std::vector<ServicePort> planned;
  for (const kube::ServicePort* spec : UsablePorts(service, &findings)) {
    for (Family family : kFamilies) {
      if (!HasFamily(service, family)) continue;
      ServicePort& port = planned.emplace_back();
      port.key = {service.name, spec->name, spec->protocol, family};
      port.algorithm = settings.algorithm;
      port.forwarding = settings.forwarding;
      port.scheduler = settings.scheduler;
      port.frontends = FrontendsOf(service, *spec, family, facts);
      SetPolicies(service, ExternallyAccessible(port.frontends), port);
      for (Frontend& frontend : port.frontends) {
        frontend.masquerade = MasqueradeOf(frontend.kind, port, facts);
      }
      SetSourceRanges(service, facts, port);
      std::erase_if(port.frontends, [&](const Frontend& frontend) {
        const ObjectName* holder = claims.Holder(ClaimOf(frontend, spec->protocol));
        if (holder == nullptr || *holder == service.name) return false;
        findings.push_back(LostClaim(port.key, frontend, *holder));
        return true;
      });
      port.frontends.shrink_to_fit();
      if (slices != nullptr) SetBackends(*slices, facts, settings, port, findings);
    }
  }
  std::sort(planned.begin(), planned.end(),
            [](const ServicePort& a, const ServicePort& b) { return a.key < b.key; });
  return planned;
}

}  // namespace fairlead::plan
