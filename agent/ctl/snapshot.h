// SPDX-License-Identifier: Apache-2.0
// What fairleadctl found, as plain data: made by reading (read.h, pinned.h), shown by render.h. Ports are
// host order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/plan/plan.h"

namespace fairlead::ctl {

struct Backend {
  Address address;
  uint16_t port = 0;
  uint32_t id = 0;
  uint16_t weight = 1;
  bool local = false;
  bool terminating = false;
  bool draining = false;  // keeps the UDP flows it has, and is given no new ones
  uint64_t connections = 0;
};

enum class Kind { kClusterIp, kNodePort, kExternal };
std::string_view KindName(Kind kind);  // "ClusterIP", "NodePort", "External"

// Whose connections an entry serves. kAll: nobody is answered otherwise.
enum class Scope { kAll, kCluster, kExternal };
std::string_view ScopeName(Scope scope);  // "all", "cluster", "external"

// One row of `frontends`, with what it points at. Backends are unique by id and sorted by address.
struct Frontend {
  plan::ServicePortKey service;
  uint32_t service_id = 0;
  Kind kind = Kind::kClusterIp;
  Address address;
  uint16_t port = 0;
  Scope scope = Scope::kAll;
  std::string algorithm;
  uint32_t affinity_timeout_s = 0;
  bool drops_if_empty = false;  // else it rejects
  bool source_ranges = false;
  bool masquerade = false;
  uint32_t run_offset = 0;
  std::vector<Backend> backends;
  uint64_t connections = 0;  // of the service port, all its frontends together
  // It could not be read whole: it changed with each try, or it points nowhere. Backends are empty.
  bool changing = false;

  size_t Offered() const;   // backends that new connections may get
  size_t Draining() const;  // the others
};

// How full a table is. Rows, not bytes.
struct TableUse {
  std::string name;
  uint64_t used = 0;
  uint64_t capacity = 0;
};

struct Snapshot {
  std::vector<Frontend> frontends;          // by service, then kind, address, port, scope
  std::vector<Address> nodeport_addresses;  // of this node; loopback among them where it answers
  std::vector<Cidr> service_cidrs;
  std::vector<Cidr> pod_cidrs;  // sources that the local-traffic detector takes for pods
  std::vector<TableUse> tables;
};

// A pinned link: a program on a hook of a cgroup or of a device.
struct Link {
  std::string name;
  std::string hook;  // "cgroup_inet4_connect", "tcx_ingress", "xdp"
  uint32_t link_id = 0;
  uint32_t program_id = 0;
  uint64_t cgroup_id = 0;  // 0 without a device: its cgroup was removed, the link does nothing
  std::string device;      // empty: on a cgroup
  uint32_t ifindex = 0;    // 0 with a device: that was removed, the link does nothing
};

struct Status {
  std::string bpffs_dir;
  uint32_t schema_version = 0;
  uint32_t agent_pid = 0;
  int64_t agent_started_s = 0;  // since the epoch
  bool agent_visible = false;   // a process of that id and our name is in /proc here
  uint64_t cgroup_id = 0;
  std::string cgroup_path;  // empty: no cgroup2 mount here shows it
  std::vector<Link> links;
  std::vector<std::string> missing_hooks;  // hooks of sock_lb without a working link
};

struct Counter {
  std::string program;
  std::string verdict;
  std::string action;
  std::string meaning;
  uint64_t count = 0;
};

// What the user asked to see. Empty and 0 match everything.
struct Filter {
  std::string ns;
  std::string name;
  std::string address;  // canonical text; of a frontend or of a backend
  uint16_t port = 0;    // likewise

  // Address and port have to be those of one frontend, or of one backend.
  bool Matches(const Frontend& frontend) const;
  // For lists of backends: a frontend that matches shows all its backends, else only those that match.
  bool Matches(const Frontend& frontend, const Backend& backend) const;

 private:
  bool MatchesService(const Frontend& frontend) const;
  bool MatchesEndpoint(const Address& at, uint16_t at_port) const;
};

}  // namespace fairlead::ctl
