// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// source_ranges: the prefixes of loadBalancerSourceRanges, as numbered sets. A run names its set, so a change
// of the ranges is a new set and flips together with the run; the old set goes after it. A client that
// matches no prefix of the set is dropped. Writer: the agent. Readers: the programs.
#ifndef FAIRLEAD_MAPS_SOURCE_RANGES_H_
#define FAIRLEAD_MAPS_SOURCE_RANGES_H_

#include "maps/define.h"

struct source_range_key {
  __u32 prefix_bits;  // 32 for the set, plus the prefix over the 16-byte address (IPv4 bits + 96)
  __u32 source_set;   // compared as bytes
  struct ip_addr addr;
};
WIRE_ASSERT(sizeof(struct source_range_key) == 24, "source_range_key has no padding");

struct source_range {
  __u32 service_id;  // whose, for people
};

FAIRLEAD_TABLE(source_ranges, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, struct source_range_key,
               struct source_range, 1024);

#endif  // FAIRLEAD_MAPS_SOURCE_RANGES_H_
