// SPDX-License-Identifier: Apache-2.0
// What was read, as text. Pure. JSON names are promised (maps/README.md); tables are for people and may
// change.
#pragma once

#include <span>
#include <string>

#include "agent/ctl/snapshot.h"
#include "agent/datapath/modes/standing.h"
#include "agent/datapath/modes/survey.h"

namespace fairlead::ctl {

enum class Format { kTable, kJson, kWide };

// Each returns whole lines.
//
// `standing`: every datapath of ours on this node, ebpf among them.
std::string RenderStatus(const Status& status, const Snapshot& snapshot,
                         std::span<const modes::Standing> standing, Format format);
// Where nothing is pinned, and other datapaths stand.
std::string RenderStandingStatus(std::span<const modes::Standing> standing, Format format);
// "nftables mode serves this node: nft list table inet fairlead shows it"
std::string StandingText(std::span<const modes::Standing> standing);
// One row a frontend.
std::string RenderServices(const Snapshot& snapshot, const Filter& filter, Format format);
// One row a service port and backend.
std::string RenderBackends(const Snapshot& snapshot, const Filter& filter, Format format);
// Rows of zero only if `all`.
std::string RenderCounters(std::span<const Counter> counters, bool all, Format format);
std::string RenderCheck(const modes::Survey& survey, Format format);

// "shop/cart:http", or "shop/cart" where the port has no name.
std::string ServiceText(const plan::ServicePortKey& key);

}  // namespace fairlead::ctl
