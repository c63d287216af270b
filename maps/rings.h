// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// rings: Maglev tables (Eisenbud et al., NSDI 2016). A ring is whole elements of 32 slots; slot s of a ring
// that begins at element r is rings[r + s / 32].slot[s % 32], the index of a backend in its run.
//
// Writer: the agent, alone, through mmap, before the run that names the ring is pointed at; reused only after
// an RCU grace period. Readers: the programs.
#ifndef FAIRLEAD_MAPS_RINGS_H_
#define FAIRLEAD_MAPS_RINGS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct ring_chunk {
  __u16 slot[RING_CHUNK_SLOTS];
};
WIRE_ASSERT(sizeof(struct ring_chunk) == 64, "one cache line");

FAIRLEAD_TABLE(rings, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct ring_chunk, 64);

#endif  // FAIRLEAD_MAPS_RINGS_H_
