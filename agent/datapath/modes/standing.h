// SPDX-License-Identifier: Apache-2.0
// Which datapaths of ours stand in this network namespace, whether an agent runs or not.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/modes/mode.h"

namespace fairlead::modes {

struct Standing {
  Mode mode = Mode::kEbpf;
  std::string look;  // the command that shows it: "nft list table inet fairlead"
};

// In the order of kModes. More than one: ebpf with SCTP beside it, or a change of modes that has not ended.
std::vector<Standing> FindStanding(const std::string& bpffs_dir);

}  // namespace fairlead::modes
