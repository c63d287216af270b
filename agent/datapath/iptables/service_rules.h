// SPDX-License-Identifier: Apache-2.0
// The rules of one service port. Pure.
//
//   by address ──► SVC                    the cluster list: a DNAT rule a backend, by chance
//              ──► LOC                    the local list (a Local policy)
//              ──► INT ──► SVC, LOC       a cluster IP whose list is also reached otherwise, and that marks
//   by port ─────► EXT ──► SVC, LOC       NodePort, external IP, LB address: marks, and Local's short cuts
//              ──► FW  ──► EXT            LB address with source ranges
//   SVC, LOC ────► GRP                    a part of a long list
//
// Table filter has what is refused: a reject or drop for each frontend nobody serves.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/datapath/iptables/tree.h"
#include "agent/plan/plan.h"

namespace fairlead::iptables {

// Trees that lead to a service port's rules.
enum class Place : uint8_t { kNatAddress, kNatPort, kFilterAddress, kFilterPort, kHealthPort };

struct Hook {
  Place place = Place::kNatAddress;
  Address key;
  Slot slot;
  std::string rule;
};

struct ServiceRules {
  std::vector<std::pair<std::string, std::string>> chains;  // of nat, with their rules
  std::vector<Hook> hooks;
};

// What a service's rules take from the node, of one family.
struct NodeMatches {
  std::string mark;               // "0x4000/0x4000"
  std::vector<std::string> pods;  // a match each: the packet is a pod's. "-s 10.244.0.0/16", "-i cni0"
  std::vector<Address> addresses;

  friend bool operator==(const NodeMatches&, const NodeMatches&) = default;
};

// Lists longer than this are parted, so that a packet meets about 2 * sqrt(n) of n rules at most.
inline constexpr size_t kLongList = 32;

ServiceRules RenderService(const plan::ServicePort& port, const NodeMatches& node);

}  // namespace fairlead::iptables
