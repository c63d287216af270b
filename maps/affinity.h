// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// affinity: which backend a client of a service with session affinity has. Writers and readers: the programs;
// fairleadctl reads. An entry counts while now - last_used_ns is under the run's affinity_timeout_s and the
// run still offers the backend; each new connection renews it. LRU: under pressure the longest unused client
// is forgotten.
#ifndef FAIRLEAD_MAPS_AFFINITY_H_
#define FAIRLEAD_MAPS_AFFINITY_H_

#include "maps/define.h"

enum affinity_client {
  AFFINITY_ADDRESS = 1,  // a client outside this node: its source address
  AFFINITY_NETNS =
      2,  // a pod of this node, or the node: halves[1] is the network namespace's cookie, host order
};

struct affinity_key {
  struct ip_addr client;
  __u32 service_id;
  __u32 kind;  // enum affinity_client
};
WIRE_ASSERT(sizeof(struct affinity_key) == 24, "affinity_key has no padding");

struct affinity {
  __u64 last_used_ns;  // CLOCK_MONOTONIC
  __u32 backend_id;
  __u32 reserved;
};
WIRE_ASSERT(sizeof(struct affinity) == 16, "affinity has no padding");

FAIRLEAD_TABLE(affinity, BPF_MAP_TYPE_LRU_HASH, 0, struct affinity_key, struct affinity, 1024);

#endif  // FAIRLEAD_MAPS_AFFINITY_H_
