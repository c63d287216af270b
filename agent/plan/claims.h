// SPDX-License-Identifier: Apache-2.0
// Who has which address:port/protocol. Services claim; a claim as a cluster IP goes before any other, so that
// nobody's external IP takes another Service's cluster IP (CVE-2020-8554); then the oldest has it, between
// equals in age the lesser namespace/name; an unknown age comes last.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::plan {

// A NodePort is claimed as AnyAddress of its family: every node address at once. An external IP that is a
// node address is another claim, and its exact address goes before the NodePort.
struct Claim {
  Address address;
  uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;

  friend auto operator<=>(const Claim&, const Claim&) = default;
};

// A claim and the right it is made by.
struct Claimed {
  Claim claim;
  bool as_cluster_ip = false;

  friend auto operator<=>(const Claimed&, const Claimed&) = default;
};

class Claims {
 public:
  // What `service` claims from now on, instead of what it claimed before; one that is claimed by both rights
  // counts as a cluster IP. O(its claims).
  void Set(const ObjectName& service, int64_t creation_time_s, std::vector<Claimed> claims);

  // Every service in line for a claim that had one holder before the Sets since the last Settle and has
  // another now: who lost it, who got it, who still waits. Unsorted, some twice. Those who let go are not
  // among them.
  std::vector<ObjectName> Settle();

  // Who has it; null if nobody claims it. The pointer stands until the next Set.
  const ObjectName* Holder(const Claim& claim) const;

 private:
  struct Claimant {
    const ObjectName* name = nullptr;  // its key in claimants_
    int64_t rank = 0;                  // creation time; unknown is the largest
    std::vector<Claimed> claims;       // sorted, each once
  };
  struct Place {
    bool as_cluster_ip = false;
    const Claimant* claimant = nullptr;
  };
  struct Entry {
    std::vector<Place> queue;               // first has it
    const Claimant* held_before = nullptr;  // when touched
    bool touched = false;
  };
  struct Hash {
    size_t operator()(const Claim& claim) const noexcept {
      return std::hash<Address>()(claim.address) * 31 + (static_cast<size_t>(claim.port) << 8) +
             static_cast<size_t>(claim.protocol);
    }
  };
  using Entries = std::unordered_map<Claim, Entry, Hash>;

  static bool Before(const Place& a, const Place& b);
  Entry& Touch(const Claim& claim);

  std::map<ObjectName, Claimant> claimants_;
  Entries entries_;
  std::vector<Claim> touched_;
  std::vector<ObjectName> emptied_;  // claimants to forget once nothing compares with them
};

}  // namespace fairlead::plan
