// SPDX-License-Identifier: Apache-2.0
// The chains that all Services share: one for each way to choose and each number of backends there is. A
// Service leads to one by an element, and its own backends are elements again, so there is no chain of its
// own to make, to find by name, or to walk.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/netfilter/options.h"
#include "agent/datapath/nftables/map_rule.h"
#include "agent/plan/plan.h"

namespace fairlead::nftables {

// Where the local list's slots begin, beside a cluster list of at most plan::kMaxBackends.
inline constexpr uint32_t kHereSlots = 65536;

// How the rules say what the options leave open.
struct Wording {
  uint32_t mark = 1U << 14;
  netfilter::LocalTraffic local_traffic;

  // "ip saddr @pods4", `iifname "veth*"`; empty: nobody is taken for a pod.
  std::string FromPod(Family family) const;
  // The same denied, for whoever is not a pod; empty: everybody.
  std::string NotFromPod(Family family) const;
  std::string Mark() const;  // "meta mark set meta mark or 0x4000"
};

struct Chain {
  enum class Kind : uint8_t {
    kPick,        // to one of `count` backends
    kOutside,     // likewise; clients that are no pods are masqueraded
    kMasquerade,  // likewise; everybody is
    kHere,        // to one of the `here` backends of the local list
    kLocal,  // external policy Local: pods and the node itself to the cluster list, others to the local one
  };
  Kind kind = Kind::kPick;
  bool node_port = false;  // slots are found by protocol and port alone
  Family family = Family::kIpv4;
  uint32_t count = 0;
  uint32_t here = 0;

  std::string Name() const;  // "pick4-10", "node-local6-10-2"
  // What it goes to.
  std::vector<Chain> Next() const;
  // Its rules: nft's words, or such as nft does not take; of one chain all are the one or the other.
  std::vector<std::string> Rules(const Wording& wording) const;
  std::vector<MapRule> MapRules() const;

  friend auto operator<=>(const Chain&, const Chain&) = default;
};

// Adds the chain, and those it leads to.
void AddWithNext(const Chain& chain, std::set<Chain>& to);
// The same for every usual number of backends, so that a Service that grows or shrinks finds its chains
// there: to make one takes a child process that reads the table.
std::set<Chain> WithUsualCounts(std::set<Chain> chains);

}  // namespace fairlead::nftables
