// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// route: by which device, and to which link address, a translated packet leaves; which of the node's
// addresses it carries there. Asked with the first packet of a flow and once a tick: a lookup costs ten times
// the rest.
#ifndef FAIRLEAD_BPF_ROUTE_H_
#define FAIRLEAD_BPF_ROUTE_H_

#include "base.bpf.h"
#include "flow.bpf.h"
#include "maps/devices.h"

#define AF_INET 2
#define AF_INET6 10

struct route {
  __u32 ifindex;
  __u8 egress;  // EGRESS_UNKNOWN: there is none
  __u8 dmac[6];
  __u8 smac[6];
  __u16 mtu;
};

// As the kernel would forward a packet to `dst` that came in by this device. 0: there is no way. A global
// function: what it asks with is not on the stack of who asks.
__noinline int route_to(packet_ctx* ctx, const struct flow_key* key, const struct ip_addr* dst,
                        struct route* out) {
  if (!key || !dst || !out) return 0;
  struct bpf_fib_lookup fib = {};
  bool v6 = !is_ipv4(dst);
  fib.family = v6 ? AF_INET6 : AF_INET;
  fib.ifindex = device_of(ctx);
  fib.l4_protocol = key->proto;
  fib.tot_len = 1;  // asks for the route's MTU
  if (v6) {
    __builtin_memcpy(fib.ipv6_src, &key->src, 16);
    __builtin_memcpy(fib.ipv6_dst, dst, 16);
  } else {
    fib.ipv4_src = key->src.words[3];
    fib.ipv4_dst = dst->words[3];
  }
  out->egress = EGRESS_UNKNOWN;
  long found = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
  if (found == BPF_FIB_LKUP_RET_NOT_FWDED) {  // an address of the node
    out->egress = EGRESS_STACK;
    return 1;
  }
  if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) return 0;
  out->ifindex = fib.ifindex;
  out->egress = EGRESS_NEIGH;
  if (found == BPF_FIB_LKUP_RET_NO_NEIGH) return 1;  // before the kernel has stored the MTU
  out->mtu = fib.mtu_result;
  __builtin_memcpy(out->dmac, fib.dmac, sizeof(out->dmac));
  __builtin_memcpy(out->smac, fib.smac, sizeof(out->smac));
  bool known = out->dmac[0] | out->dmac[1] | out->dmac[2] | out->dmac[3] | out->dmac[4] | out->dmac[5];
  out->egress = known ? EGRESS_DEVICE : EGRESS_NEIGH;
  return 1;
}

// The node's address for masqueraded packets that leave by this device. False: it has none of this family.
INLINE bool node_address(__u32 ifindex, bool v6, struct ip_addr* out) {
  struct device* device = bpf_map_lookup_elem(&devices, &ifindex);
  if (device) {
    *out = v6 ? device->nat_v6 : device->nat_v4;
    if (out->halves[1]) return true;
  }
  __u32 node = 0;
  device = bpf_map_lookup_elem(&devices, &node);
  if (!device) return false;
  *out = v6 ? device->nat_v6 : device->nat_v4;
  return out->halves[1] != 0;
}

INLINE bool enters_pods_directly(__u32 ifindex) {
  struct device* device = bpf_map_lookup_elem(&devices, &ifindex);
  return device && device->flags & DEVICE_DIRECT;
}

#endif  // FAIRLEAD_BPF_ROUTE_H_
