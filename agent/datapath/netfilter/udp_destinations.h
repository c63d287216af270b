// SPDX-License-Identifier: Apache-2.0
// Which UDP entries of nf_conntrack do not fit the plan, for one family: destinations that are Services' and
// who may serve them, and for a while what no longer is. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "agent/datapath/netfilter/conntrack.h"
#include "agent/plan/plan.h"

namespace fairlead::netfilter {

class UdpDestinations {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using End = ConntrackEntry::End;

  // The change is in the kernel since `now`. True if entries may have become stale by it.
  bool Note(const plan::Change& change, TimePoint now);
  // Addresses of this family that answer NodePorts. True if there is a new one.
  bool SetNode(const plan::NodePlan& node, Family family);

  // Nothing is or was a destination: no entry is stale.
  bool Empty() const { return ports_.empty() && gone_.empty(); }

  // Whether this entry of a UDP flow is to be removed.
  //
  // The destination is a frontend, or a NodePort on an address that answers them: unless the source of its
  // answers is a serving endpoint. By address alone, as kube-proxy has it, since the port of a live endpoint
  // may have been renamed; but an entry that was not translated goes unless the frontend itself is an
  // endpoint. Without serving endpoints only translated entries go: the others lead nowhere, and hold nobody
  // up.
  //
  // The destination is none any more, or none on this address: if it was translated to a backend that has
  // left it within memory. Translations of others (a container's published port) stay.
  bool Stale(const ConntrackEntry& entry) const;

  // Backends that left before that: the rules had let nobody through to them for long enough, and all entries
  // have been looked at since.
  void Forget(TimePoint before);

 private:
  struct Port {
    std::vector<End> destinations;  // NodePorts with AnyAddress; sorted
    std::vector<End> serving;       // sorted
  };
  struct Hash {
    size_t operator()(const End& end) const noexcept {
      return std::hash<Address>{}(end.address) * 31 + end.port;
    }
  };

  static Port From(const plan::ServicePort& port);
  const Port* Owner(const End& destination) const;
  bool HasLeft(const End& destination, const Address& backend) const;
  void Leave(const Port& was, const Port& is, TimePoint now);

  std::map<plan::ServicePortKey, Port> ports_;
  std::unordered_map<End, const Port*, Hash> owners_;  // of ports_, whose nodes stay where they are
  std::unordered_map<End, std::map<Address, TimePoint>, Hash> gone_;  // by destination: who left it when
  std::set<Address> node_;
  bool loopback_ = false;
};

}  // namespace fairlead::netfilter
