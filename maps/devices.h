// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// devices: what the programs must know of the node's network devices. Row 0 is the node itself: its primary
// addresses, for devices without an address of their own, and whether connections of an earlier proxy are
// left. Writer: the agent. Readers: the programs, with the
// first packet of a flow; fairleadctl.
#ifndef FAIRLEAD_MAPS_DEVICES_H_
#define FAIRLEAD_MAPS_DEVICES_H_

#include "fairlead/flags.h"
#include "maps/define.h"

struct device {
  struct ip_addr nat_v4;  // source of masqueraded packets that leave here; zero: row 0's
  struct ip_addr nat_v6;
  __u32 flags;  // enum device_flag
  char name[16];
  __u32 reserved;
};
WIRE_ASSERT(sizeof(struct device) == 56, "device has no hidden padding");

FAIRLEAD_TABLE(devices, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, __u32, struct device, 4096);

#endif  // FAIRLEAD_MAPS_DEVICES_H_
