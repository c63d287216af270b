// SPDX-License-Identifier: Apache-2.0
// The rows of `counters`, summed over CPUs and named.
#pragma once

#include <vector>

#include "agent/datapath/datapath.h"

namespace fairlead::ebpf {

// In the order of verdict.h, programs first; zeros included.
std::vector<datapath::VerdictCount> ReadVerdicts(int counters_fd);

}  // namespace fairlead::ebpf
