// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the agent tells a program once, before load (rodata): the verifier sees constants and prunes by them.
#ifndef FAIRLEAD_CONFIG_H_
#define FAIRLEAD_CONFIG_H_

#include "fairlead/wire.h"

struct fairlead_config {
  __u64 node_netns_cookie;    // the network namespace that is the node: loopback NodePorts are its alone
  __u64 hash_seed;            // of the frontend table; random per node, so that nobody can aim at a slot
  __u32 frontend_mask;        // slots of the frontend table - 1 (slots are a power of two)
  __u32 flow_mask;            // sets of the flow table - 1
  __u64 flow_keys[6];         // of flow_hash (maps/conntrack.h); random per node, odd, kept with the tables
  __u32 tick_shift;           // jiffies >> tick_shift are ticks, about a second each
  __u32 tick_ms;              // what a tick is, for whoever shows or converts
  __u32 flow_timeout[8];      // ticks without a packet after which a flow is over, by enum flow_state
  __u32 idle_ticks;           // FLOW_IDLE_BEFORE_EVICTION_S
  __u8 pod_devices_are_pods;  // the detector goes by device: what comes from a pod device is a pod's
  __u8 direct_delivery;       // some device may have DEVICE_DIRECT
  __u8 leave_established;     // what goes on without a flow of ours is left to the stack, as an earlier
                              // proxy's, until DEVICE_NONE_EARLIER
  __u8 strong_order;          // loads, and stores, happen in their order (x86); else barriers see to it
};
WIRE_ASSERT(sizeof(struct fairlead_config) == 120, "no hidden padding");

#endif  // FAIRLEAD_CONFIG_H_
