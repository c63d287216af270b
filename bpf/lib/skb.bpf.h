// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The packet as TC has it. Beside xdp.bpf.h the only place that knows which of the two it is: a program file
// includes one of them before the rest of the walk.
#ifndef FAIRLEAD_BPF_SKB_H_
#define FAIRLEAD_BPF_SKB_H_

#include <bpf/bpf_core_read.h>
#include <linux/pkt_cls.h>

#include "base.bpf.h"

#define AT_XDP 0
typedef struct __sk_buff packet_ctx;

// Not our business, or done with: the next program of the hook goes on, then the stack.
#define LEAVE_PASS TC_ACT_UNSPEC
#define LEAVE_DROP TC_ACT_SHOT

#define CHECKSUM_PARTIAL 3
#define CHECKSUM_COMPLETE 2
#define CHECKSUM_BY_HELPER 255  // this kernel does not say how it is kept

struct sk_buff {
  __u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void* bpf_cast_to_kern_ctx(void* ctx) __ksym __weak;

INLINE void* data_of(packet_ctx* ctx) {
  return (void*)(long)ctx->data;
}
INLINE void* data_end_of(packet_ctx* ctx) {
  return (void*)(long)ctx->data_end;
}
INLINE __u32 device_of(packet_ctx* ctx) {
  return ctx->ifindex;
}

// Makes more of the packet readable. False: what can be read was readable before. Packet pointers taken
// before are void.
INLINE bool pull(packet_ctx* ctx, __u32 bytes) {
  if (bytes > ctx->len) bytes = ctx->len;
  if (data_of(ctx) + bytes <= data_end_of(ctx)) return false;
  return bpf_skb_pull_data(ctx, bytes) == 0;
}

// Seen only because the device listens to everything: for another host (include/uapi/linux/if_packet.h).
#define PACKET_OTHERHOST 3
INLINE bool for_other_host(packet_ctx* ctx) {
  return ctx->pkt_type == PACKET_OTHERHOST;
}

// A tagged frame is for a VLAN device on top of this one, and is seen again there. Tag 0 is priority only.
INLINE bool for_vlan_device(packet_ctx* ctx) {
  return ctx->vlan_present && (ctx->vlan_tci & 0xfff) != 0;
}

// How the layer 4 checksum of this packet is kept (include/linux/skbuff.h): CHECKSUM_PARTIAL is a pseudo
// header sum the device completes; CHECKSUM_COMPLETE has a sum over the packet beside it.
INLINE __u8 checksum_kind(packet_ctx* ctx) {
  if (!bpf_cast_to_kern_ctx) return CHECKSUM_BY_HELPER;
  struct sk_buff* skb = bpf_cast_to_kern_ctx(ctx);
  return BPF_CORE_READ_BITFIELD(skb, ip_summed);
}

#endif  // FAIRLEAD_BPF_SKB_H_
