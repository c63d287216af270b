// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// nat_ports: which source ports masqueraded packets may have. Bit p % 64 of word p / 64, port p in host
// order: 1 if it may be taken. Left out: the NodePort range and every NodePort in use, the range the kernel
// gives ports from (net.ipv4.ip_local_port_range), and ports bound on the node. Writer: the agent, through
// mmap. Readers: the programs, with the first packet of a flow.
#ifndef FAIRLEAD_MAPS_NAT_PORTS_H_
#define FAIRLEAD_MAPS_NAT_PORTS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct nat_port_word {
  __u64 usable;
};

FAIRLEAD_TABLE(nat_ports, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct nat_port_word, 1024);

struct nat_try_count {
  __u64 flows;
};

// Index: how many source ports were taken when one was found; NAT_TRIES: none was. Per CPU.
FAIRLEAD_TABLE(nat_tries, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct nat_try_count, NAT_TRIES + 1);

#endif  // FAIRLEAD_MAPS_NAT_PORTS_H_
