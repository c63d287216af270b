// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What bpf/sock_sweep writes for each socket of a removed backend; not a table, but the same contract: one
// struct, two languages. Reader: agent/datapath/ebpf/sweep.
#ifndef FAIRLEAD_MAPS_STALE_SOCKET_H_
#define FAIRLEAD_MAPS_STALE_SOCKET_H_

#include "maps/peers.h"

struct stale_socket {
  __u64 cookie;
  struct ip_addr local;
  struct peer peer;
  __u32 netns;   // inode number of its network namespace
  __u16 family;  // AF_INET or AF_INET6
  __be16 local_port;
  __u32 ifindex;  // the device it is bound to; 0: none
  __u32 reserved;
};
WIRE_ASSERT(sizeof(struct stale_socket) == 88, "stale_socket has no hidden padding");

#endif  // FAIRLEAD_MAPS_STALE_SOCKET_H_
