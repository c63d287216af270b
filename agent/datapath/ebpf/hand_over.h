// SPDX-License-Identifier: Apache-2.0
// The end of ebpf mode where another mode stands already: connections of the packet path are told, so that
// the other can go on with them. (Those that were translated at their socket need nobody.)
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/datapath/ebpf/flow_table.h"
#include "agent/options.h"
#include "agent/plan/plan.h"
#include "fairlead/config.h"

namespace fairlead::ebpf {

// A connection through the packet path: what the client sends from `client` to `frontend` reaches the backend
// from `source`. Ports are host order.
struct HandedFlow {
  struct End {
    Address address;
    uint16_t port = 0;
    friend bool operator==(const End&, const End&) = default;
  };
  plan::Protocol protocol = plan::Protocol::kTcp;
  End client, frontend, source, backend;
  bool answered = false;        // by the backend
  bool half_closed = false;     // TCP: by one side
  std::chrono::seconds left{};  // without a packet it is over then

  friend bool operator==(const HandedFlow&, const HandedFlow&) = default;
};

// Takes every Service out of the tables pinned below `bpffs_dir`: the programs go on with the flows they have
// and begin no more; packets and sockets of new connections pass to whoever stands behind. Then the flows,
// which are all there will be. Left out are those that are over by the times of `conntrack`, and DSR's, which
// nobody else can go on with. Empty, with a word in the log, where what is pinned is of another schema.
// kUnavailable while an agent runs on these pins.
Result<std::vector<HandedFlow>> StopBeginning(const std::string& bpffs_dir,
                                              const ConntrackOptions& conntrack);

// The flows of a table that are not over at `tick`, by the times and the tick of `config`; `tunnelled`: how
// many of DSR were left out.
std::vector<HandedFlow> ReadFlows(const FlowTable& table, const fairlead_config& config, uint32_t tick,
                                  size_t& tunnelled);

}  // namespace fairlead::ebpf
