// SPDX-License-Identifier: Apache-2.0
// What this node's kernel should hold, in words that know no datapath. Plain data, made by Planner
// (planner.h), read by every datapath. Ports are host order.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/kube/objects.h"

namespace fairlead::plan {

using kube::ObjectName;
using kube::Protocol;

// A service port of one family: what kube-proxy identifies a set of rules by.
struct ServicePortKey {
  ObjectName service;
  std::string port;  // port name, may be empty
  Protocol protocol = Protocol::kTcp;
  Family family = Family::kIpv4;

  std::string ToString() const;  // "shop/cart:http/TCP IPv4"
  friend auto operator<=>(const ServicePortKey&, const ServicePortKey&) = default;
};

struct Backend {
  Address address;
  uint16_t port = 0;
  bool local = false;  // nodeName is this node
  bool terminating =
      false;            // serving while it terminates, and no longer ready: used for want of a better one
  uint16_t weight = 1;  // from annotation fairlead.io/weights, else 1

  friend auto operator<=>(const Backend&, const Backend&) = default;
};

// What one list of backends holds at most: positions in it are 16 bits.
inline constexpr size_t kMaxBackends = 65535;

enum class FrontendKind : uint8_t { kClusterIp, kExternalIp, kLoadBalancer, kNodePort };
std::string_view FrontendKindName(
    FrontendKind kind);  // "ClusterIP", "ExternalIP", "LoadBalancer", "NodePort"

// Whose packets through a frontend reach the backend with an address of the node as source (SEMANTICS section
// 6). A client that is the chosen backend itself always does; clients translated at their socket never do.
enum class Masquerade : uint8_t {
  kNobody,
  kOutside,  // clients that the local-traffic detector does not take for pods
  kAll,
};

// An address clients use. For kNodePort the address is AnyAddress: it stands for every address of NodePlan.
struct Frontend {
  FrontendKind kind = FrontendKind::kClusterIp;
  Address address;
  uint16_t port = 0;
  Masquerade masquerade = Masquerade::kNobody;

  friend auto operator<=>(const Frontend&, const Frontend&) = default;
};

// 0.0.0.0 or ::.
Address AnyAddress(Family family);

enum class Algorithm : uint8_t { kRandom, kMaglev };
std::string_view AlgorithmName(Algorithm algorithm);  // "random", "maglev"

// How packets from outside get to a backend on another node: kNat through this node both ways, with a source
// of its own; kDsr in an IP tunnel, so that the backend's node answers the client directly.
enum class Forwarding : uint8_t { kNat, kDsr };
std::string_view ForwardingName(Forwarding forwarding);  // "nat", "dsr"

// One service port of one family on this node. Backends are sorted and unique by address and port.
struct ServicePort {
  ServicePortKey key;
  std::vector<Frontend>
      frontends;  // only those this service won against others with the same address and port

  std::vector<Backend> cluster;   // SEMANTICS section 3, cluster list
  std::vector<Backend> local;     // local list
  std::vector<Backend> draining;  // serving endpoints in neither list: existing UDP flows may stay on them
  bool needs_cluster = true;      // a list that no destination uses is empty and not needed
  bool needs_local = false;       // also true where only the health check node port counts the local list
  bool has_any = false;           // some endpoint anywhere is ready, or serving and terminating

  bool internal_local = false;
  bool external_local = false;  // only when externally accessible
  uint32_t affinity_timeout_s = 0;
  Algorithm algorithm = Algorithm::kRandom;
  Forwarding forwarding = Forwarding::kNat;
  std::string scheduler;  // of ipvs mode, from annotation fairlead.io/ipvs-scheduler; empty: the node's
  std::vector<Cidr> source_ranges;  // of this family; empty with has_source_ranges false: open
  bool has_source_ranges = false;
  uint16_t health_check_node_port = 0;  // only LoadBalancer with external Local

  friend bool operator==(const ServicePort&, const ServicePort&) = default;

  // The list a destination of this kind is served from, for a client inside (pod, node) or outside.
  const std::vector<Backend>& ListFor(FrontendKind kind, bool client_inside) const;
};

using Plan = std::map<ServicePortKey, std::shared_ptr<const ServicePort>>;

// What holds for the node as a whole.
struct NodePlan {
  std::vector<Address> nodeport_addresses;  // sorted; loopback not among them
  bool loopback_nodeports_v4 = false;       // 127.0.0.0/8 answers NodePorts for clients on the node
  bool loopback_nodeports_v6 = false;       // ::1
  std::vector<Cidr> service_cidrs;          // sorted
  std::vector<Cidr> pod_cidrs;              // sorted; sources the local-traffic detector takes for pods

  friend bool operator==(const NodePlan&, const NodePlan&) = default;
};

// A change for a datapath: the service port as it now is, or its removal.
struct Change {
  ServicePortKey key;
  std::shared_ptr<const ServicePort> now;  // null: removed
};

// Facts about this node that the plan depends on; taken from flags, the Node object and the kernel's
// addresses.
struct NodeFacts {
  std::string name;
  std::string zone;
  std::vector<Address> addresses;          // of the node's own devices, loopback excluded
  std::vector<Cidr> nodeport_cidrs;        // --nodeport-addresses; empty: every address
  bool nodeport_primary = false;           // --nodeport-addresses=primary
  std::vector<Address> primary_addresses;  // of the Node object; "primary" is the first of each family
  bool localhost_nodeports = true;
  bool localhost_nodeports_v6 = true;  // likewise ::1, where the datapath can
  bool same_node_hints = true;         // gate PreferSameTrafficDistribution
  bool refuse_external_ips = false;    // CVE-2020-8554: external IPs are not captured
  Algorithm default_algorithm = Algorithm::kRandom;
  bool serves_maglev =
      true;                // the datapath has it; a Service that asks for it gets random and a word elsewhere
  bool serves_dsr = true;  // likewise, and nat
  bool masquerade_all = false;
  bool detects_pods = false;         // there is a local-traffic detector
  bool pods_by_node_cidr = false;    // it goes by the Node object's pod CIDRs
  std::vector<Cidr> cluster_cidrs;   // else, where it goes by ClusterCIDR: by these
  std::vector<Cidr> node_pod_cidrs;  // of the Node object

  friend bool operator==(const NodeFacts&, const NodeFacts&) = default;
};

}  // namespace fairlead::plan
