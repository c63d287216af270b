// SPDX-License-Identifier: Apache-2.0
// Session affinity of a service port: a map {client -> backend} that the rules fill and read, one for each
// list of backends that is in use, so that a client is never led to a backend that is not in the list in
// question. The only Services with a map and chains of their own: entries must time out by the Service's own
// clock, and go when it goes.
//
// Written after DNAT, when the packet has the backend's address: nft cannot put the result of a map into
// another one.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/datapath/nftables/chains.h"
#include "agent/datapath/nftables/map_rule.h"
#include "agent/plan/plan.h"

namespace fairlead::nftables {

struct Sticky {
  plan::ServicePortKey key;
  uint32_t timeout_s = 0;
  bool cluster = false;  // the cluster list is in use
  bool local = false;    // the local list is
  bool split = false;    // some frontend has both, by client: external policy Local

  std::string Map(bool of_local) const;       // "affinity4/shop/cart/http/tcp", "affinity-here4/..."
  std::string Chain(bool of_local) const;     // leads a remembered client to its backend
  std::string Remember(bool of_local) const;  // remembers the client
  std::string RememberSplit() const;          // likewise, in the map of the list it was served from

  std::vector<std::string> Maps() const;    // names
  std::vector<std::string> Chains() const;  // names
  // Commands that make or rewrite all but MapRules, and such as remove it.
  std::string Script(const Wording& wording) const;
  std::string RemovalScript() const;
  std::vector<MapRule> MapRules() const;

  friend auto operator<=>(const Sticky&, const Sticky&) = default;
};

}  // namespace fairlead::nftables
