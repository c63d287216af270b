// SPDX-License-Identifier: Apache-2.0
// Protocols as rules name them.
#pragma once

#include <string_view>
#include <utility>

#include "agent/plan/plan.h"

namespace fairlead::netfilter {

constexpr std::string_view ProtocolWord(plan::Protocol protocol) {  // "tcp"
  switch (protocol) {
    case plan::Protocol::kTcp:
      return "tcp";
    case plan::Protocol::kUdp:
      return "udp";
    case plan::Protocol::kSctp:
      return "sctp";
  }
  std::unreachable();
}

}  // namespace fairlead::netfilter
