// SPDX-License-Identifier: Apache-2.0
// One case of test/oracle/cases as data: a cluster, states of its objects, and what must hold in each, as one
// mode has it. The format is described in test/oracle/README.md. Pure: reads files, touches no kernel.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "test/support/mode.h"

namespace fairlead::test {

struct OracleFlow {
  enum class From { kPod, kNode, kLocalhost, kElsewhere };  // kElsewhere: its packets arrive at the node
  enum class Expect { kBackends, kReject, kDrop, kPassthrough };

  std::string name;
  std::string skip;  // why this mode is not judged by it; empty: it is
  From from = From::kElsewhere;
  std::string from_ip;
  uint16_t from_port = 0;    // 0: any
  std::string to, protocol;  // "172.30.0.10:80", "TCP"
  bool same_socket = false;  // one client socket through all steps
  Expect expect = Expect::kBackends;
  std::vector<std::string> backends;  // ip:port
  bool masquerade = false;
  std::vector<std::string> masquerade_backends;  // masqueraded towards these whatever `masquerade` says
  bool sticky = false;
  std::string same_backend_as;            // name of an earlier flow
  std::vector<std::string> must_stay_on;  // ip:port
};

struct OracleHttp {
  uint16_t port = 0;
  std::string path;
  int status = 0;
  std::map<std::string, std::string> json;  // top-level fields of the body
};

// A health check node port of n1.
struct OracleHealthCheck {
  uint16_t port = 0;
  bool closed = false;  // nobody listens; the rest is then empty
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string name_space, service;
  std::string local_endpoints, proxy_healthy;  // as the body has them
};

// A flow from before the step to a backend, and whether the step leaves it there.
struct OracleEntry {
  OracleFlow::From from = OracleFlow::From::kElsewhere;
  std::string client, to, backend, protocol;  // client: address; to, backend: ip:port
  bool kept = false;
};

// A gauge with label traffic_policy, summed over its other labels.
struct OracleMetric {
  std::string name;  // without prefix kubeproxy_
  int internal = 0, external = 0;
};

// An object by what identifies it: kind, namespace, name.
using OracleObjects = std::map<std::string, YAML::Node>;

struct OracleStep {
  std::string name;       // empty: the case's initial state
  OracleObjects objects;  // the whole state after the step
  std::vector<OracleFlow> flows;
  std::vector<OracleHttp> http;
  std::vector<OracleHealthCheck> health_checks;
  std::vector<OracleEntry> entries;
  std::vector<OracleMetric> metrics;
};

struct OracleCluster {
  std::string cidr, detect_local = "ClusterCIDR";
  std::vector<std::string> nodeport_addresses, more_addresses;  // more_addresses: of n1
  bool masquerade_all = false, localhost_nodeports = true;

  friend auto operator<=>(const OracleCluster&, const OracleCluster&) = default;
};

struct OracleCase {
  std::string name, about;
  OracleCluster cluster;
  std::vector<OracleStep> steps;

  friend void PrintTo(const OracleCase& self, std::ostream* out) { *out << self.about; }  // for GoogleTest
};

// Throws std::runtime_error "<file>: <what>" for a case that does not read.
OracleCase ReadOracleCase(const std::string& path, Mode mode);
// Every *.yaml of a folder, ordered by cluster, then by name.
std::vector<OracleCase> ReadOracleCases(const std::string& folder, Mode mode);

// A v1 List in JSON, in which a quoted scalar stays a string.
std::string ToJsonList(const OracleObjects& objects);
// ip:port of every endpoint that any slice lists, of IP families.
std::vector<std::pair<std::string, uint16_t>> EndpointsOf(const OracleObjects& objects);

}  // namespace fairlead::test
