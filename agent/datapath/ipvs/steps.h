// SPDX-License-Identifier: Apache-2.0
// What must be done to a virtual server so that it is as wanted. Pure.
//
// A TCP or SCTP backend that leaves keeps its connections: its weight becomes 0, and it goes when it has none
// left (Drained). So does a virtual server that leaves: its backends get no new connections, new clients are
// refused (ICMP, by IPVS), and it goes when none of them has an established one; kube-proxy deletes it under
// its connections. A UDP backend that no longer serves goes at once, and its flows with it
// (expire_nodest_conn).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/ipvs/server.h"

namespace fairlead::ipvs {

enum class Verb : uint8_t { kAddServer, kSetServer, kRemoveServer, kAddBackend, kSetBackend, kRemoveBackend };

struct Step {
  Verb verb = Verb::kAddServer;
  ServerKey server;
  ServerOptions options;  // of kAddServer, kSetServer
  BackendKey backend;     // of the backend verbs
  uint32_t weight = 0;    // of kAddBackend, kSetBackend

  std::string ToString() const;
};

// `wanted` null: it leaves; `present` null: it is not there. A server is added before its backends; new
// backends come before others leave, so there is always one to choose.
std::vector<Step> StepsTo(const ServerKey& key, const VirtualServer* wanted, const PresentServer* present);

// Whether something there is on its way out: a sweep may find it without connections.
bool Drains(const VirtualServer* wanted, const PresentServer& present);

// What of it may go now that its connections are these.
std::vector<Step> Drained(const ServerKey& key, const VirtualServer* wanted, const PresentServer& present,
                          const std::map<BackendKey, Connections>& connections);

// What the step does, done to a copy of the kernel's state.
void Replay(const Step& step, PresentServers& servers);

}  // namespace fairlead::ipvs
