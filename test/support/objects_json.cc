// SPDX-License-Identifier: Apache-2.0
// The builders' objects as the API server would write them (one line, valid YAML too).
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/ranges.h>

#include "test/support/objects.h"

namespace fairlead::test {

namespace {

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// The fields of one JSON object, in the order they are added.
class Fields {
 public:
  Fields& Raw(std::string_view name, std::string_view json) {
    fields_.push_back(fmt::format("{}: {}", Quote(name), json));
    return *this;
  }
  Fields& Text(std::string_view name, std::string_view text) { return Raw(name, Quote(text)); }
  Fields& Number(std::string_view name, int64_t value) { return Raw(name, fmt::to_string(value)); }
  Fields& Bool(std::string_view name, bool value) { return Raw(name, value ? "true" : "false"); }
  bool Empty() const { return fields_.empty(); }
  std::string Json() const { return fmt::format("{{{}}}", fmt::join(fields_, ", ")); }

 private:
  std::vector<std::string> fields_;
};

template <typename T, typename Render>
std::string List(const std::vector<T>& items, Render render) {
  std::vector<std::string> texts;
  for (const T& item : items) texts.push_back(render(item));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

template <typename T>
std::string Texts(const std::vector<T>& items) {
  return List(items, [](const T& item) { return Quote(item.ToString()); });
}

std::string Timestamp(int64_t unix_ns) {
  time_t seconds = unix_ns / 1'000'000'000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(seconds), unix_ns % 1'000'000'000);
}

Fields Metadata(const kube::ObjectName& name) {
  Fields metadata;
  metadata.Text("name", name.name);
  if (!name.ns.empty()) metadata.Text("namespace", name.ns);
  return metadata;
}

std::string_view TypeName(kube::ServiceType type) {
  static constexpr std::string_view kNames[] = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"};
  return kNames[static_cast<size_t>(type)];
}

std::string_view Policy(bool local) {
  return local ? "Local" : "Cluster";
}

std::string PortsJson(const std::vector<kube::ServicePort>& ports, const std::vector<uint16_t>& targets) {
  size_t i = 0;
  return List(ports, [&](const kube::ServicePort& port) {
    Fields fields;
    if (!port.name.empty()) fields.Text("name", port.name);
    fields.Text("protocol", kube::ProtocolName(port.protocol)).Number("port", port.port);
    fields.Number("targetPort", targets[i++]);
    if (port.node_port != 0) fields.Number("nodePort", port.node_port);
    return fields.Json();
  });
}

std::string SpecJson(const kube::Service& service, const std::vector<uint16_t>& targets) {
  Fields spec;
  spec.Text("type", TypeName(service.type));
  spec.Text("clusterIP", service.cluster_ips.empty() ? "None" : service.cluster_ips.front().ToString());
  if (!service.cluster_ips.empty()) spec.Raw("clusterIPs", Texts(service.cluster_ips));
  spec.Raw("ipFamilies", List(service.cluster_ips,
                              [](const Address& address) { return Quote(FamilyName(address.GetFamily())); }));
  spec.Raw("ports", PortsJson(service.ports, targets));
  if (!service.external_ips.empty()) spec.Raw("externalIPs", Texts(service.external_ips));
  if (!service.source_ranges.empty()) spec.Raw("loadBalancerSourceRanges", Texts(service.source_ranges));
  spec.Text("internalTrafficPolicy", Policy(service.internal_local));
  if (service.type != kube::ServiceType::kClusterIp || service.external_local) {
    spec.Text("externalTrafficPolicy", Policy(service.external_local));
  }
  if (service.health_check_node_port != 0) {
    spec.Number("healthCheckNodePort", service.health_check_node_port);
  }
  spec.Text("sessionAffinity", service.affinity_timeout_s != 0 ? "ClientIP" : "None");
  if (service.affinity_timeout_s != 0) {
    spec.Raw("sessionAffinityConfig",
             fmt::format(R"({{"clientIP": {{"timeoutSeconds": {}}}}})", service.affinity_timeout_s));
  }
  return spec.Json();
}

std::string Hints(const kube::Endpoint& endpoint) {
  auto named = [](const Symbol& symbol) { return fmt::format(R"({{"name": {}}})", Quote(symbol.View())); };
  Fields hints;
  if (!endpoint.zone_hints.empty()) hints.Raw("forZones", List(endpoint.zone_hints, named));
  if (!endpoint.node_hints.empty()) hints.Raw("forNodes", List(endpoint.node_hints, named));
  return hints.Empty() ? std::string() : hints.Json();
}

std::string EndpointJson(const kube::Endpoint& endpoint) {
  Fields conditions;
  conditions.Bool("ready", endpoint.ready)
      .Bool("serving", endpoint.serving)
      .Bool("terminating", endpoint.terminating);
  Fields fields;
  fields.Raw("addresses", fmt::format("[{}]", Quote(endpoint.address.ToString())));
  fields.Raw("conditions", conditions.Json());
  if (!endpoint.node_name.Empty()) fields.Text("nodeName", endpoint.node_name.View());
  std::string hints = Hints(endpoint);
  if (!hints.empty()) fields.Raw("hints", hints);
  return fields.Json();
}

}  // namespace

std::string Service::ToJson() const {
  Fields metadata = Metadata(object_.name);
  if (object_.creation_time_s != 0) {
    metadata.Text("creationTimestamp",
                  fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time_t{object_.creation_time_s})));
  }
  if (object_.other_proxy) metadata.Raw("labels", R"({"service.kubernetes.io/service-proxy-name": "other"})");
  if (!object_.settings.empty()) {
    Fields annotations;
    for (const auto& [name, value] : object_.settings) annotations.Text("fairlead.io/" + name, value);
    metadata.Raw("annotations", annotations.Json());
  }
  std::string ingress = List(object_.load_balancer_ips, [](const Address& address) {
    return fmt::format(R"({{"ip": {}, "ipMode": "VIP"}})", Quote(address.ToString()));
  });
  Fields fields;
  fields.Text("apiVersion", "v1").Text("kind", "Service").Raw("metadata", metadata.Json());
  fields.Raw("spec", SpecJson(object_, targets_));
  fields.Raw("status", fmt::format(R"({{"loadBalancer": {{"ingress": {}}}}})", ingress));
  return fields.Json();
}

std::string Slice::ToJson() const {
  Fields labels;
  if (!object_.service.empty()) labels.Text("kubernetes.io/service-name", object_.service);
  if (object_.headless) labels.Text("service.kubernetes.io/headless", "");
  Fields metadata = Metadata(object_.name);
  metadata.Raw("labels", labels.Json());
  if (object_.trigger_time_ns != 0) {
    metadata.Raw("annotations", Fields()
                                    .Text("endpoints.kubernetes.io/last-change-trigger-time",
                                          Timestamp(object_.trigger_time_ns))
                                    .Json());
  }
  Fields fields;
  fields.Text("apiVersion", "discovery.k8s.io/v1").Text("kind", "EndpointSlice");
  fields.Raw("metadata", metadata.Json());
  fields.Text("addressType", object_.fqdn ? "FQDN" : FamilyName(object_.family));
  fields.Raw("ports", List(object_.ports, [](const kube::SlicePort& port) {
               return Fields()
                   .Text("name", port.name)
                   .Text("protocol", kube::ProtocolName(port.protocol))
                   .Number("port", port.port)
                   .Json();
             }));
  fields.Raw("endpoints", List(object_.endpoints, EndpointJson));
  return fields.Json();
}

std::string NodeObject::ToJson() const {
  Fields labels;
  if (!object_.zone.empty()) labels.Text("topology.kubernetes.io/zone", object_.zone);
  Fields metadata = Metadata(object_.name);
  metadata.Raw("labels", labels.Json());
  Fields spec;
  if (!object_.pod_cidrs.empty()) {
    spec.Text("podCIDR", object_.pod_cidrs.front().ToString()).Raw("podCIDRs", Texts(object_.pod_cidrs));
  }
  Fields status;
  status.Raw("addresses", List(object_.internal_ips, [](const Address& address) {
               return Fields().Text("type", "InternalIP").Text("address", address.ToString()).Json();
             }));
  Fields fields;
  fields.Text("apiVersion", "v1").Text("kind", "Node").Raw("metadata", metadata.Json());
  fields.Raw("spec", spec.Json()).Raw("status", status.Json());
  return fields.Json();
}

}  // namespace fairlead::test
