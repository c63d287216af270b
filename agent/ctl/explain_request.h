// SPDX-License-Identifier: Apache-2.0
// The imaginary packet of `fairleadctl explain`: as it was typed, and once it is known where on the node it
// is. Ports are host order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/kube/objects.h"
#include "maps/explain.h"

namespace fairlead::ctl {

// A source port is one of many, and this one is as good as another: the same question has the same answer.
inline constexpr uint16_t kExplainSourcePort = 40000;

struct Endpoint {
  Address address;
  uint16_t port = 0;

  std::string ToString() const { return AddressPort(address, port); }
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// "10.0.0.1:80", "[fd00::1]:80"; without a port, "10.0.0.1", "[fd00::1]" and "fd00::1", `default_port` stands
// in. kInvalid if that is 0, with the text quoted.
Result<Endpoint> ParseEndpoint(std::string_view text, uint16_t default_port);

// "socket", "uplink", "pod", "egress".
std::string_view AtName(uint32_t at);
std::optional<explain_at> ParseAt(std::string_view name);

// The words of the command line.
struct ExplainWords {
  std::string from;
  std::string to;
  std::string protocol = "tcp";
  std::string device;
  std::string at;
};

struct ExplainRequest {
  Endpoint from;
  Endpoint to;
  kube::Protocol protocol = kube::Protocol::kTcp;
  std::string device;            // empty: as the routes say
  std::optional<explain_at> at;  // nothing: as the device and the routes say
};

// kInvalid for what cannot be a packet: two families, no destination port, an unknown word.
Result<ExplainRequest> ParseExplainRequest(const ExplainWords& words);

// A request with its place on this node.
struct Question {
  Endpoint from;
  Endpoint to;
  kube::Protocol protocol = kube::Protocol::kTcp;
  explain_at at = EXPLAIN_UPLINK;
  uint32_t ifindex = 0;  // the device it came by or leaves by; EXPLAIN_SOCKET: 0
  std::string device;
  uint64_t netns_cookie = 0;  // EXPLAIN_SOCKET: of the client's network namespace; 0: not found
};

}  // namespace fairlead::ctl
