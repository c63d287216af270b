// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// schema: what the pinned tables were made with. Writer: the loader, once, when it makes the tables. Readers:
// the loader of a later start (same version: adopt; other: migrate or refuse), fairleadctl.
#ifndef FAIRLEAD_MAPS_SCHEMA_H_
#define FAIRLEAD_MAPS_SCHEMA_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct schema {
  __u32 version;  // FAIRLEAD_SCHEMA_VERSION
  __u32 frontend_slots;
  __u64 hash_seed;
  __u64 flow_keys[6];   // struct fairlead_config
  __u64 cgroup_id;      // where the socket programs are attached
  __u64 agent_started;  // CLOCK_REALTIME, seconds; of the last agent that took the tables over
  __u32 agent_pid;      // of the same, in its own pid namespace
  __u32 flow_sets;
};
WIRE_ASSERT(sizeof(struct schema) == 88, "schema has no padding");

FAIRLEAD_TABLE(schema, BPF_MAP_TYPE_ARRAY, 0, __u32, struct schema, 1);

#endif  // FAIRLEAD_MAPS_SCHEMA_H_
