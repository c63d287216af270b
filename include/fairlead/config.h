// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the agent tells a program once, before load (rodata): the verifier sees constants and prunes by them.
#ifndef FAIRLEAD_CONFIG_H_
#define FAIRLEAD_CONFIG_H_

#include "fairlead/wire.h"

struct fairlead_config {
  __u64 node_netns_cookie;  // the network namespace that is the node: loopback NodePorts are its alone
  __u64 hash_seed;          // of the frontend table; random per node, so that nobody can aim at a slot
  __u32 frontend_mask;      // slots of the frontend table - 1 (slots are a power of two)
  __u32 reserved;
};
WIRE_ASSERT(sizeof(struct fairlead_config) == 24, "no hidden padding");

#endif  // FAIRLEAD_CONFIG_H_
