// SPDX-License-Identifier: Apache-2.0
// What the programs are told before load (struct fairlead_config), from the tables' schema and the options.
// Pure. Every program gets the same.
#pragma once

#include <cstdint>

#include "agent/options.h"
#include "fairlead/config.h"
#include "maps/schema.h"

namespace fairlead::ebpf {

// What only the running node knows.
struct NodeConstants {
  uint64_t netns_cookie = 0;
  uint32_t jiffies_per_s = 0;
};

fairlead_config ProgramConfig(const schema& schema, const NodeConstants& node,
                              const ConntrackOptions& conntrack, bool pod_devices_are_pods,
                              bool direct_delivery, bool leave_established = false);

// The largest shift whose tick is 1.1 s or less: 0.64 s at HZ 100, 1.02 at 250 and 1000, 0.85 at 300.
uint32_t TickShift(uint32_t jiffies_per_s);

}  // namespace fairlead::ebpf
