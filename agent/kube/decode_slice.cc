// SPDX-License-Identifier: Apache-2.0
// EndpointSlice of discovery.k8s.io/v1.
#include <fmt/format.h>

#include "agent/kube/decode_kinds.h"

namespace fairlead::kube {

namespace {

// Ports without a number are for consumers that know the number; a null name is a port no Service can name.
// An absent name is the empty one, as the API server defaults it.
std::vector<SlicePort> ReadPorts(const Value& value) {
  std::vector<SlicePort> ports;
  value.ForEach([&](const Value& element) {
    auto [name, protocol, port] = element.Fields({"name", "protocol", "port"});
    SlicePort result;
    result.name = PortName(name);
    result.protocol = ReadProtocol(protocol);
    result.port = port.Integer<uint16_t>(0, 65535, 0);
    if (!name.IsNull() && result.port != 0) ports.push_back(std::move(result));
  });
  return ports;
}

std::vector<Symbol> ReadHints(const Value& value) {
  std::vector<Symbol> hints;
  value.ForEach([&](const Value& element) {
    auto [name] = element.Fields({"name"});
    hints.emplace_back(name.Text());
  });
  return hints;
}

// addresses[0]; nothing where there is none. An address of the other family fails.
std::optional<Address> ReadAddress(const Value& addresses, Family family) {
  std::optional<Address> first;
  bool seen = false;
  addresses.ForEach([&](const Value& element) {
    if (std::exchange(seen, true)) return;
    first = UnicastAddress(element);
    if (first && first->GetFamily() != family) {
      element.Expected(fmt::format("an {} address, as addressType says", FamilyName(family)));
    }
  });
  return first;
}

std::vector<Endpoint> ReadEndpoints(const Value& value, Family family) {
  std::vector<Endpoint> endpoints;
  value.ForEach([&](const Value& element) {
    auto [addresses, conditions, node_name, hints] =
        element.Fields({"addresses", "conditions", "nodeName", "hints"});
    auto address = ReadAddress(addresses, family);
    // Others can serve in the place of an endpoint whose address cannot be used.
    if (element.reader().LeaveOut() || !address) return;
    auto [ready, serving, terminating] = conditions.Fields({"ready", "serving", "terminating"});
    auto [zones, nodes] = hints.Fields({"forZones", "forNodes"});
    endpoints.push_back({*address, ready.Bool(true), serving.Bool(true), terminating.Bool(false),
                         Symbol(node_name.Text()), ReadHints(zones), ReadHints(nodes)});
  });
  endpoints.shrink_to_fit();
  return endpoints;
}

}  // namespace

EndpointSlice DecodeEndpointSlice(const Value& object) {
  static constexpr std::string_view kTypes[] = {"IPv4", "IPv6", "FQDN"};
  EndpointSlice slice;
  slice.name = object.reader().name;

  auto [metadata, address_type, ports, endpoints] =
      object.Fields({"metadata", "addressType", "ports", "endpoints"});
  auto [labels, annotations] = metadata.Fields({"labels", "annotations"});
  auto [service, headless] = labels.Fields({"kubernetes.io/service-name", "service.kubernetes.io/headless"});
  auto [trigger] = annotations.Fields({"endpoints.kubernetes.io/last-change-trigger-time"});
  slice.service = service.Text();
  slice.headless = !headless.Absent();
  if (!object.reader().Failed()) {
    slice.trigger_time_ns = TimeNs(trigger);
    object.reader().LeaveOut();  // it is for a metric only
  }

  if (address_type.Text().empty()) address_type.Expected("IPv4 or IPv6 or FQDN");
  size_t type = Word(address_type, kTypes, 0);
  slice.fqdn = type == 2;
  slice.family = type == 1 ? Family::kIpv6 : Family::kIpv4;
  slice.ports = ReadPorts(ports);
  if (!slice.fqdn) slice.endpoints = ReadEndpoints(endpoints, slice.family);
  return slice;
}

}  // namespace fairlead::kube
