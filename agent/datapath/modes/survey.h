// SPDX-License-Identifier: Apache-2.0
// What this node can run, and so what auto would take: every probe with its answer. Changes nothing, but for
// the kernel modules that a question loads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/datapath/ebpf/probe.h"
#include "agent/datapath/modes/mode.h"

namespace fairlead::modes {

struct Survey {
  std::vector<ebpf::ProbeResult> probes;  // ebpf's, then one for each other mode, by its name
  std::optional<Mode> taken;              // by auto
  std::string reason;                     // one line: why that one, or what each one lacks
};

Survey Look(const ebpf::ProbeOptions& options);

// The part that is pure.
Survey Judge(std::vector<ebpf::ProbeResult> probes);

}  // namespace fairlead::modes
