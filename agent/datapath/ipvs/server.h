// SPDX-License-Identifier: Apache-2.0
// Virtual servers as plain data: what IPVS calls a virtual service with its destinations is a frontend's
// address with its backends. Ports are host order.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::ipvs {

struct ServerKey {
  Address address;
  uint16_t port = 0;
  plan::Protocol protocol = plan::Protocol::kTcp;

  std::string ToString() const;  // "172.30.0.10:80/TCP"
  friend auto operator<=>(const ServerKey&, const ServerKey&) = default;
};

struct BackendKey {
  Address address;
  uint16_t port = 0;

  std::string ToString() const;  // "10.180.0.11:8080"
  friend auto operator<=>(const BackendKey&, const BackendKey&) = default;
};

// How a virtual server chooses.
struct ServerOptions {
  std::string scheduler;
  uint32_t flags = 0;               // IP_VS_SVC_F_*
  uint32_t affinity_timeout_s = 0;  // with IP_VS_SVC_F_PERSISTENT

  friend bool operator==(const ServerOptions&, const ServerOptions&) = default;
};

// Backend to weight. One of weight 0 gets no new connection and keeps those it has.
using Weights = std::map<BackendKey, uint32_t>;

struct VirtualServer {
  ServerKey key;
  ServerOptions options;
  Weights backends;
  // UDP: serving, but in no list of this frontend. Flows that are on one stay (weight 0), none is added.
  std::vector<BackendKey> lingering;  // sorted

  friend bool operator==(const VirtualServer&, const VirtualServer&) = default;
};

// What the kernel has.
struct PresentServer {
  ServerOptions options;
  Weights backends;

  friend bool operator==(const PresentServer&, const PresentServer&) = default;
};
using PresentServers = std::map<ServerKey, PresentServer>;

// IPVS counts a connection as active while it is established (UDP: never).
struct Connections {
  uint32_t active = 0;
  uint32_t inactive = 0;
};

// The flags a scheduler is given. sh and mh pass over a backend without weight instead of refusing its
// clients; mh goes by the client's port too, as kube-proxy has it.
uint32_t SchedulerFlags(std::string_view scheduler);

}  // namespace fairlead::ipvs
