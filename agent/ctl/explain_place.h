// SPDX-License-Identifier: Apache-2.0
// Where on this node a packet from FROM to TO is first seen. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "agent/ctl/explain_request.h"
#include "agent/ctl/route.h"

namespace fairlead::ctl {

// The node's network devices by index: every name, and device_flag bits of those that have a program of ours.
struct NodeDevices {
  std::map<uint32_t, std::string> names;
  std::map<uint32_t, uint32_t> flags;

  std::string Name(uint32_t ifindex) const;  // "device 7" if it has gone
  uint32_t Flags(uint32_t ifindex) const;    // 0: no program of ours
};

// How the node's own routing table reaches the two ends; nothing where it does not.
struct EndRoutes {
  std::optional<Route> from;
  std::optional<Route> to;
};

// The client is on this node if its address is the node's, or is reached by a device that is no uplink and
// without a router; then it is a socket's connect(). Otherwise its packets come in by the uplink that leads
// to it. --device and --at say otherwise. kNotFound for a device that is not there or that no program of
// ours watches: what comes by it is not translated. The network namespace's cookie is left 0.
Result<Question> PlaceQuestion(const ExplainRequest& request, const NodeDevices& devices,
                               const EndRoutes& routes);

}  // namespace fairlead::ctl
