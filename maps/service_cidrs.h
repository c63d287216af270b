// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// service_cidrs: the cluster's ServiceCIDRs; an address in one that no Service has is dropped (KEP-1880,
// KEP-3866). A handful of elements, read in order up to the first unused one; a masked compare costs less
// than a trie. Writer: the agent, through mmap: base and mask, then in_use; an element is rewritten only
// after a grace period.
#ifndef FAIRLEAD_MAPS_SERVICE_CIDRS_H_
#define FAIRLEAD_MAPS_SERVICE_CIDRS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct service_cidr {
  struct ip_addr base;
  struct ip_addr mask;
  __u64 in_use;  // 1, or 0: here the list ends
};
WIRE_ASSERT(sizeof(struct service_cidr) == 40, "service_cidr has no padding");

FAIRLEAD_TABLE(service_cidrs, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct service_cidr,
               SERVICE_CIDRS_MAX);

#endif  // FAIRLEAD_MAPS_SERVICE_CIDRS_H_
