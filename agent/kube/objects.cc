// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/objects.h"

namespace fairlead::kube {

std::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "TCP";
    case Protocol::kUdp:
      return "UDP";
    case Protocol::kSctp:
      return "SCTP";
  }
  return "?";
}

std::string_view KindName(Kind kind) {
  static constexpr std::string_view kNames[] = {"Service", "EndpointSlice", "Node", "ServiceCIDR"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace fairlead::kube
