// SPDX-License-Identifier: Apache-2.0
// Service of v1.
#include <algorithm>

#include <fmt/format.h>

#include "agent/kube/decode_kinds.h"

namespace fairlead::kube {

namespace {

constexpr uint32_t kDefaultAffinityTimeout_s = 10800;
constexpr uint32_t kMaxAffinityTimeout_s = 86400;

template <typename T>
void AddOnce(std::vector<T>& list, const T& value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

// clusterIPs, else clusterIP. At most one a family, as the API has it: a second one would be an address that
// nobody allocated.
std::vector<Address> ReadClusterIps(const Value& cluster_ip, const Value& cluster_ips) {
  std::vector<Address> addresses;
  auto take = [&](const Value& value) {
    std::string_view text = value.Text();
    if (text.empty() || text == "None") return;
    auto address = UnicastAddress(value);
    if (!address) return;
    for (const Address& other : addresses) {
      if (other.GetFamily() == address->GetFamily()) {
        return value.Fail(
            fmt::format("is a second {} address, after {}", FamilyName(other.GetFamily()), other.ToString()));
      }
    }
    addresses.push_back(*address);
  };
  if (cluster_ips.Absent()) {
    take(cluster_ip);
  } else {
    cluster_ips.ForEach(take);
  }
  return addresses;
}

ServicePort ReadPort(const Value& value) {
  auto [name, protocol, port, node_port] = value.Fields({"name", "protocol", "port", "nodePort"});
  ServicePort result;
  result.name = PortName(name);
  result.protocol = ReadProtocol(protocol);
  result.port = port.Integer<uint16_t>(1, 65535, 0);
  result.node_port = node_port.Integer<uint16_t>(0, 65535, 0);
  if (result.port == 0) port.Expected("1-65535");
  return result;
}

// Rules are identified by port name and protocol, and found by number and protocol: neither may be there
// twice.
std::vector<ServicePort> ReadPorts(const Value& value) {
  std::vector<ServicePort> ports;
  value.ForEach([&](const Value& element) {
    ServicePort port = ReadPort(element);
    for (const ServicePort& other : ports) {
      if (other.protocol != port.protocol) continue;
      if (other.name == port.name) {
        return element.Fail(
            fmt::format("has the name \"{}\" of another {} port", port.name, ProtocolName(port.protocol)));
      }
      if (other.port == port.port || (port.node_port != 0 && other.node_port == port.node_port)) {
        return element.Fail(fmt::format("has the {} of port \"{}\"",
                                        other.port == port.port ? "port number" : "nodePort", other.name));
      }
    }
    ports.push_back(std::move(port));
  });
  return ports;
}

// A Service is of use without one of its external addresses: a bad one is left out.
std::vector<Address> ReadExternalIps(const Value& value) {
  std::vector<Address> addresses;
  value.ForEach([&](const Value& element) {
    auto address = UnicastAddress(element);
    if (!element.reader().LeaveOut()) AddOnce(addresses, *address);
  });
  return addresses;
}

std::vector<Address> ReadIngress(const Value& status) {
  static constexpr std::string_view kModes[] = {"VIP", "Proxy"};
  std::vector<Address> addresses;
  auto [load_balancer] = status.Fields({"loadBalancer"});
  auto [ingress] = load_balancer.Fields({"ingress"});
  ingress.ForEach([&](const Value& element) {
    auto [ip, mode] = element.Fields({"ip", "ipMode"});
    if (Word(mode, kModes, 0) == 0 && !ip.Text().empty()) {
      if (auto address = UnicastAddress(ip)) AddOnce(addresses, *address);
    }
    element.reader().LeaveOut();
  });
  return addresses;
}

// A bad range refuses the Service: without it the load balancer might be open to everybody (no range left) or
// closed to somebody; the Service as last read stays in force instead.
std::vector<Cidr> ReadSourceRanges(const Value& value) {
  std::vector<Cidr> ranges;
  value.ForEach([&](const Value& element) {
    if (auto range = Prefix(element)) AddOnce(ranges, *range);
  });
  return ranges;
}

uint32_t ReadAffinity(const Value& affinity, const Value& config) {
  static constexpr std::string_view kWords[] = {"None", "ClientIP"};
  bool by_client = Word(affinity, kWords, 0) == 1;
  auto [client_ip] = config.Fields({"clientIP"});
  auto [timeout] = client_ip.Fields({"timeoutSeconds"});
  uint32_t timeout_s = timeout.Integer<uint32_t>(1, kMaxAffinityTimeout_s, kDefaultAffinityTimeout_s);
  return by_client ? timeout_s : 0;
}

bool ReadPolicy(const Value& value) {
  static constexpr std::string_view kWords[] = {"Cluster", "Local"};
  return Word(value, kWords, 0) == 1;
}

std::map<std::string, std::string> ReadSettings(const Value& annotations) {
  constexpr std::string_view kPrefix = "fairlead.io/";
  std::map<std::string, std::string> settings;
  annotations.ForEachField([&](std::string_view key, const Value& value) {
    if (!key.starts_with(kPrefix)) return;
    if (!settings.emplace(key.substr(kPrefix.size()), value.Text()).second) value.Fail("is there twice");
  });
  return settings;
}

}  // namespace

Service DecodeService(const Value& object) {
  static constexpr std::string_view kTypes[] = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"};
  Service service;
  service.name = object.reader().name;

  auto [metadata, spec, status] = object.Fields({"metadata", "spec", "status"});
  auto [labels, annotations, creation] = metadata.Fields({"labels", "annotations", "creationTimestamp"});
  auto [other_proxy] = labels.Fields({"service.kubernetes.io/service-proxy-name"});
  service.other_proxy = !other_proxy.Absent();
  service.settings = ReadSettings(annotations);
  if (!object.reader().Failed()) {
    service.creation_time_s = TimeNs(creation) / 1'000'000'000;
    object.reader().LeaveOut();  // it only decides between Services that claim one address
  }

  auto [type, cluster_ip, cluster_ips, ports, external_ips] =
      spec.Fields({"type", "clusterIP", "clusterIPs", "ports", "externalIPs"});
  auto [source_ranges, internal_policy, external_policy, affinity, affinity_config, health_check] =
      spec.Fields({"loadBalancerSourceRanges", "internalTrafficPolicy", "externalTrafficPolicy",
                   "sessionAffinity", "sessionAffinityConfig", "healthCheckNodePort"});
  service.type = static_cast<ServiceType>(Word(type, kTypes, 0));
  if (service.type == ServiceType::kExternalName) return service;  // nothing else of it is proxied

  service.cluster_ips = ReadClusterIps(cluster_ip, cluster_ips);
  service.ports = ReadPorts(ports);
  if (!service.cluster_ips.empty() && service.ports.empty()) ports.Expected("at least one port");
  service.external_ips = ReadExternalIps(external_ips);
  service.load_balancer_ips = ReadIngress(status);
  service.source_ranges = ReadSourceRanges(source_ranges);
  service.internal_local = ReadPolicy(internal_policy);
  service.external_local = ReadPolicy(external_policy);
  service.affinity_timeout_s = ReadAffinity(affinity, affinity_config);
  service.health_check_node_port = health_check.Integer<uint16_t>(0, 65535, 0);
  return service;
}

}  // namespace fairlead::kube
