// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the programs count. Writers: the programs. Readers: /metrics, fairleadctl.
#ifndef FAIRLEAD_MAPS_COUNTERS_H_
#define FAIRLEAD_MAPS_COUNTERS_H_

#include "fairlead/verdict.h"
#include "maps/define.h"

struct counter {
  __u64 count;
};

// Index: program * VERDICT_COUNT + verdict. NOT_OURS is not counted on the socket path: most calls are, and a
// count would cost more than the decision.
FAIRLEAD_TABLE(counters, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct counter, PROGRAM_COUNT* VERDICT_COUNT);

// What a service port or a backend was given; index is its id. Shared by all CPUs (atomic adds): a per-CPU
// array of every backend would take 256 MiB on a node with 64 CPUs.
struct traffic {
  __u64 connections;  // new ones, or datagram flows
};

FAIRLEAD_TABLE(service_traffic, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct traffic, 1024);
FAIRLEAD_TABLE(backend_traffic, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct traffic, 1024);

#endif  // FAIRLEAD_MAPS_COUNTERS_H_
