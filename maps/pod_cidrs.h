// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// pod_cidrs: whose source addresses the local-traffic detector takes for pods (detectLocalMode ClusterCIDR
// and NodeCIDR). Like service_cidrs: a handful, read in order up to the first unused one. Writer: the agent,
// through mmap. Readers: the programs, with the first packet of a flow.
#ifndef FAIRLEAD_MAPS_POD_CIDRS_H_
#define FAIRLEAD_MAPS_POD_CIDRS_H_

#include "maps/service_cidrs.h"

FAIRLEAD_TABLE(pod_cidrs, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct service_cidr, POD_CIDRS_MAX);

#endif  // FAIRLEAD_MAPS_POD_CIDRS_H_
