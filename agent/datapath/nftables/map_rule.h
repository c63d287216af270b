// SPDX-License-Identifier: Apache-2.0
// The rules that look into maps of addresses and ports, and the chains that consist of them. They are written
// by netlink, a chain at a time and as a whole: nft 1.0.6 does not take them once it has read such a map back
// from the kernel ("conflicting protocols specified"), and aborts at an update whose value has an IPv6
// address.
#pragma once

#include <cstdint>
#include <string>

#include "agent/plan/plan.h"

namespace fairlead::nftables {

struct MapRule {
  enum class Kind : uint8_t {
    kFollow,    // the frontend is in `map`: where that leads
    kChoose,    // to the backend `map` has for the frontend and one of `count` numbers from `offset` on
    kRecall,    // to the backend `map` has for the client
    kRemember,  // in `map` the client has the backend the packet is for, for timeout_s
  };
  Kind kind = Kind::kFollow;
  std::string chain, map;
  Family family = Family::kIpv4;
  bool node_port = false;                          // kFollow, kChoose: protocol and port are the frontend
  uint32_t count = 0, offset = 0;                  // kChoose
  plan::Protocol protocol = plan::Protocol::kTcp;  // kRecall, kRemember
  uint32_t timeout_s = 0;                          // kRemember

  std::string ToText() const;  // as nft lists it
};

}  // namespace fairlead::nftables
