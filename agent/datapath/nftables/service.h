// SPDX-License-Identifier: Apache-2.0
// What one service port is in the table: its elements, and the chains they lead to. Pure.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/nftables/chains.h"
#include "agent/datapath/nftables/element.h"
#include "agent/datapath/nftables/slots.h"
#include "agent/datapath/nftables/sticky.h"
#include "agent/plan/plan.h"

namespace fairlead::nftables {

// A service port as it stands or is to stand.
struct Standing {
  std::shared_ptr<const plan::ServicePort> port;
  Slots cluster, local;  // such as some frontend leads to; else empty

  // `before`: what stands now, whose slots are kept where they can be; null: nothing.
  static Standing Of(std::shared_ptr<const plan::ServicePort> port, const Standing* before);
};

// Elements no other service port has.
std::vector<Element> OwnElements(const Standing& standing);
// Elements other service ports may need too: its cluster addresses, and the backends that may reach
// themselves here: those of this node, and with external policy Local all.
std::vector<Element> SharedElements(const Standing& standing);
// Those its elements lead to, and those these lead to.
void AddChains(const Standing& standing, std::set<Chain>& to);
std::optional<Sticky> StickyOf(const plan::ServicePort& port);

}  // namespace fairlead::nftables
