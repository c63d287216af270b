// SPDX-License-Identifier: Apache-2.0
// What was read, as text. Pure. JSON names are promised (maps/README.md); tables are for people and may
// change.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "agent/ctl/snapshot.h"
#include "agent/datapath/modes/standing.h"
#include "agent/datapath/modes/survey.h"

namespace fairlead::ctl {

enum class Format { kTable, kJson, kWide };

// Each returns whole lines.
//
// `standing`: every datapath of ours on this node, ebpf among them; `waiting`: service ports whose last
// change is not in the kernel, if an agent says.
std::string RenderStatus(const Status& status, const Snapshot& snapshot,
                         std::span<const modes::Standing> standing, Format format,
                         std::optional<uint64_t> waiting = {});
// Where nothing is pinned, and other datapaths stand.
std::string RenderStandingStatus(std::span<const modes::Standing> standing, Format format,
                                 std::optional<uint64_t> waiting = {});
// "nftables mode serves this node: nft list table inet fairlead shows it"
std::string StandingText(std::span<const modes::Standing> standing);
// The same of flows.
std::string FlowsElsewhereText(std::span<const modes::Standing> standing);
// A line of status; empty where nothing waits.
std::string WaitingText(std::optional<uint64_t> waiting);
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
