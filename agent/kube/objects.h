// SPDX-License-Identifier: Apache-2.0
// What the agent keeps of the Kubernetes objects it watches: decoded, validated, nothing else. Plain data;
// field comments name the API field. Ports are host order. Rules: SEMANTICS of kube-proxy v1.36.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/symbol.h"

namespace fairlead::kube {

struct ObjectName {
  std::string ns;  // empty for cluster-scoped objects
  std::string name;

  std::string ToString() const { return ns.empty() ? name : ns + "/" + name; }
  friend auto operator<=>(const ObjectName&, const ObjectName&) = default;
};

// IANA protocol numbers, as on the wire.
enum class Protocol : uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };
std::string_view ProtocolName(Protocol protocol);  // "TCP", "UDP", "SCTP"

struct ServicePort {
  std::string name;  // empty is a name
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;       // 1-65535
  uint16_t node_port = 0;  // 0: none

  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

enum class ServiceType : uint8_t { kClusterIp, kNodePort, kLoadBalancer, kExternalName };

struct Service {
  ObjectName name;
  int64_t creation_time_s = 0;  // metadata.creationTimestamp, Unix; 0 unknown
  ServiceType type = ServiceType::kClusterIp;
  bool other_proxy = false;          // label service.kubernetes.io/service-proxy-name present
  std::vector<Address> cluster_ips;  // clusterIPs, else clusterIP; empty when "None" or unset
  std::vector<ServicePort> ports;
  std::vector<Address> external_ips;
  std::vector<Address> load_balancer_ips;  // status ingress with ip, ipMode unset or VIP
  std::vector<Cidr> source_ranges;         // loadBalancerSourceRanges, trimmed
  bool internal_local = false;             // internalTrafficPolicy: Local
  bool external_local = false;             // externalTrafficPolicy: Local
  uint32_t affinity_timeout_s = 0;         // 0: sessionAffinity None
  uint16_t health_check_node_port = 0;
  std::map<std::string, std::string> settings;  // annotations fairlead.io/<key>, without the prefix

  friend bool operator==(const Service&, const Service&) = default;
};

struct Endpoint {
  Address address;  // addresses[0]
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  Symbol node_name;
  std::vector<Symbol> zone_hints;  // hints.forZones[].name
  std::vector<Symbol> node_hints;  // hints.forNodes[].name

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct SlicePort {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;  // non-zero: ports without a number are dropped in decoding

  friend bool operator==(const SlicePort&, const SlicePort&) = default;
};

struct EndpointSlice {
  ObjectName name;
  std::string service;    // label kubernetes.io/service-name; empty: belongs to no service
  bool headless = false;  // label service.kubernetes.io/headless present: as if absent
  bool fqdn = false;      // addressType FQDN: never used, endpoints left empty
  Family family = Family::kIpv4;
  std::vector<SlicePort> ports;
  std::vector<Endpoint> endpoints;
  int64_t trigger_time_ns = 0;  // annotation endpoints.kubernetes.io/last-change-trigger-time, Unix; 0 none

  friend bool operator==(const EndpointSlice&, const EndpointSlice&) = default;
};

struct Node {
  ObjectName name;
  std::string zone;  // label topology.kubernetes.io/zone
  std::vector<Address> internal_ips;
  std::vector<Cidr> pod_cidrs;
  bool being_deleted = false;        // metadata.deletionTimestamp set
  bool to_be_deleted_taint = false;  // taint ToBeDeletedByClusterAutoscaler, any value or effect

  friend bool operator==(const Node&, const Node&) = default;
};

struct ServiceCidr {
  ObjectName name;
  std::vector<Cidr> cidrs;

  friend bool operator==(const ServiceCidr&, const ServiceCidr&) = default;
};

enum class Kind : uint8_t { kService, kEndpointSlice, kNode, kServiceCidr };
std::string_view KindName(Kind kind);  // "Service", ...

using Object = std::variant<Service, EndpointSlice, Node, ServiceCidr>;  // index() is Kind

inline Kind KindOf(const Object& object) {
  return static_cast<Kind>(object.index());
}
inline const ObjectName& NameOf(const Object& object) {
  return std::visit([](const auto& o) -> const ObjectName& { return o.name; }, object);
}

// One step of what a source learned. kReplace carries every object of one kind and makes all others of it
// absent: the first one per kind says "this kind is synced"; a relist sends it again. While it is not
// complete (a file has never been readable), what an earlier run programmed and nobody names now must not be
// removed.
struct Update {
  enum class Type : uint8_t { kUpsert, kDelete, kReplace };
  Type type = Type::kUpsert;
  Kind kind = Kind::kService;
  ObjectName name;                                   // kUpsert, kDelete
  std::vector<Object> objects;                       // kUpsert: one; kReplace: all
  bool complete = true;                              // kReplace
  std::chrono::steady_clock::time_point received{};  // when its last byte arrived
};

// A bad object or an unreachable source, said once: for the log, the counter and /metrics.
struct Problem {
  std::string source;   // "services watch", "web.yaml:12"
  std::string message;  // names the object, the field and what was expected
};

// Where sources deliver. Called from the source's own threads; must not block for long.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void Push(Update update) = 0;
  virtual void Report(Problem problem) = 0;
};

}  // namespace fairlead::kube
