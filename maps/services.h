// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// services: what a service id means, for people, and for the agent to keep its ids over a restart. One row a
// service port and family. Writer: the agent, before the first run with the id; deleted after the last one.
// Readers: fairleadctl, the agent at start. No program reads it.
#ifndef FAIRLEAD_MAPS_SERVICES_H_
#define FAIRLEAD_MAPS_SERVICES_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct service {
  char ns[NAME_SIZE];  // NUL-terminated, rest zero; so are the next two
  char name[NAME_SIZE];
  char port[NAME_SIZE];  // the port's name; may be empty
  __u8 proto;            // IPPROTO_*
  __u8 family;           // 4 or 6
  __u8 reserved[6];
};
WIRE_ASSERT(sizeof(struct service) == 200, "service has no hidden padding");

FAIRLEAD_TABLE(services, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, __u32, struct service, 1024);

#endif  // FAIRLEAD_MAPS_SERVICES_H_
