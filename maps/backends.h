// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// backends: the arena. Runs of 32-byte records: a head, then the backends a new flow may be given, then the
// draining ones, which keep the UDP flows they have. Both parts are sorted by backend id, so that "does this
// run still hold that backend" is a short search. A weight is so many copies of the record.
//
// Writer: the agent, alone, through mmap; a run is complete before any frontend points at it, never changes
// while one does, and its records are reused only after an RCU grace period. Readers: the programs;
// fairleadctl.
#ifndef FAIRLEAD_MAPS_BACKENDS_H_
#define FAIRLEAD_MAPS_BACKENDS_H_

#include "fairlead/flags.h"
#include "fairlead/limits.h"
#include "maps/define.h"

struct run {
  __u32 service_id;          // key of `services`
  __u32 length;              // records, this head included
  __u32 draining;            // the last so many of them
  __u32 ring;                // ALGORITHM_MAGLEV: first element of `rings`
  __u32 ring_size;           // its slots, a prime
  __u32 affinity_timeout_s;  // FRONTEND_AFFINITY
  __u32 source_set;          // FRONTEND_SOURCE_RANGES: the set in `source_ranges`
  __u8 reserved[3];
  __u8 kind;  // RECORD_RUN
};

struct backend {
  struct ip_addr addr;
  __u32 id;  // of this address, port and protocol; stable over restarts while it is in use
  __u32 reserved2;
  __be16 port;
  __u16 weight;
  __u8 flags;  // enum backend_flag
  __u8 reserved[2];
  __u8 kind;  // RECORD_BACKEND
};

struct record {
  union {
    struct run run;
    struct backend backend;
  };
} __attribute__((aligned(8)));
WIRE_ASSERT(sizeof(struct run) == 32 && sizeof(struct backend) == 32, "records are of one size");
WIRE_ASSERT(sizeof(struct record) == 32, "two records a cache line");

FAIRLEAD_TABLE(backends, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct record, 1024);

#endif  // FAIRLEAD_MAPS_BACKENDS_H_
