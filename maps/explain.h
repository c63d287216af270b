// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// explain: what tc_explain was asked and what it found, step by step. One question at a time: fairleadctl
// holds a lock on the pin while it asks. Writers: fairleadctl (question), tc_explain (steps). Reader:
// fairleadctl.
#ifndef FAIRLEAD_MAPS_EXPLAIN_H_
#define FAIRLEAD_MAPS_EXPLAIN_H_

#include "fairlead/flags.h"
#include "maps/define.h"

#define EXPLAIN_STEPS_MAX 32U

// Where the packet, or the connect(), is.
enum explain_at {
  EXPLAIN_SOCKET = 1,  // a socket of a pod of this node, or of the node
  EXPLAIN_UPLINK = 2,  // a packet that came in by an uplink
  EXPLAIN_POD = 3,     // a packet that came in by a pod's device
  EXPLAIN_EGRESS = 4,  // a packet about to leave by an uplink
};

// X(name, what the words of a step mean: addr, number[0], number[1])
#define FAIRLEAD_EXPLAIN_STEPS(X)                                                              \
  X(PACKET, "dissected: -, -, protocol")                                                       \
  X(FLOW_HIT, "conntrack entry: to_dst, flags << 8 | state, to_dport (network order)")         \
  X(FLOW_MISS, "no conntrack entry")                                                           \
  X(FRONTEND, "frontend: its address, word (struct frontend), enum frontend_scope")            \
  X(NO_FRONTEND, "none; roles of the address: -, enum address_role bits, -")                   \
  X(CLIENT, "the client: its address, 1 if it counts as a pod, -")                             \
  X(SOURCE_RANGES, "checked: -, 1 if allowed, source set")                                     \
  X(AFFINITY, "remembered backend: -, backend id (0: none), -")                                \
  X(RUN, "backends to choose from: -, service id, count << 8 | enum frontend_algorithm")       \
  X(BACKEND, "chosen: its address, backend id, port (network order) << 8 | enum backend_flag") \
  X(MASQUERADE, "source becomes: the address, port (network order), -")                        \
  X(ROUTE, "leaves: -, ifindex, enum flow_egress")                                             \
  X(VERDICT, "ended: -, enum verdict, enum program")

enum explain_step_kind {
  EXPLAIN_NONE = 0,
#define X(name, words) EXPLAIN_STEP_##name,
  FAIRLEAD_EXPLAIN_STEPS(X)
#undef X
};

struct explain_step {
  __u32 kind;  // enum explain_step_kind
  __u32 reserved;
  struct ip_addr addr;
  __u64 number[2];
};
WIRE_ASSERT(sizeof(struct explain_step) == 40, "explain_step has no padding");

struct explain {
  __u32 at;            // the question: enum explain_at
  __u32 steps;         // the answer: how many of `step` there are
  __u64 netns_cookie;  // EXPLAIN_SOCKET: the client's network namespace, for affinity; 0: not known
  struct explain_step step[EXPLAIN_STEPS_MAX];
};
WIRE_ASSERT(sizeof(struct explain) == 16 + 40 * EXPLAIN_STEPS_MAX, "explain has no padding");

FAIRLEAD_TABLE(explain, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct explain, 1);

#endif  // FAIRLEAD_MAPS_EXPLAIN_H_
