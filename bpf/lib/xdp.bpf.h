// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The packet as XDP has it; see skb.bpf.h.
#ifndef FAIRLEAD_BPF_XDP_H_
#define FAIRLEAD_BPF_XDP_H_

#include "base.bpf.h"

#define AT_XDP 1
typedef struct xdp_md packet_ctx;

#define LEAVE_PASS XDP_PASS
#define LEAVE_DROP XDP_DROP

#define CHECKSUM_PARTIAL 3
#define CHECKSUM_COMPLETE 2
#define CHECKSUM_BY_HELPER 255

INLINE void* data_of(packet_ctx* ctx) {
  return (void*)(long)ctx->data;
}
INLINE void* data_end_of(packet_ctx* ctx) {
  return (void*)(long)ctx->data_end;
}
INLINE __u32 device_of(packet_ctx* ctx) {
  return ctx->ingress_ifindex;
}
INLINE bool pull(packet_ctx* ctx, __u32 bytes) {
  return false;
}
INLINE bool for_other_host(packet_ctx* ctx) {
  return false;  // the device decides that with the skb; XDP sends only what is for a Service
}
INLINE bool for_vlan_device(packet_ctx* ctx) {
  return false;  // the tag is in the frame, which so is no IP packet here (unless the device strips it:
                 // rx-vlan-offload)
}
INLINE __u8 checksum_kind(packet_ctx* ctx) {
  return 0;
}

#endif  // FAIRLEAD_BPF_XDP_H_
