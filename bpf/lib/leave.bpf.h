// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// leave: what it takes to send a packet on, whatever was done to it: hops left, room on the route, a way out.
#ifndef FAIRLEAD_BPF_LEAVE_H_
#define FAIRLEAD_BPF_LEAVE_H_

#include "base.bpf.h"
#include "flow.bpf.h"
#include "packet.bpf.h"

INLINE bool last_hop(packet_ctx* ctx, const struct packet* p) {
  __u32 field = p->v6 ? __builtin_offsetof(struct ipv6hdr, hop_limit) : __builtin_offsetof(struct iphdr, ttl);
  __u8* ttl = header_at(ctx, p->l3 + field);
  if ((void*)(ttl + 1) > data_end_of(ctx)) return true;
  return *ttl <= 1;
}

// What goes on the wire is larger than the route takes. A packet of many segments counts by one of them.
INLINE bool too_big(packet_ctx* ctx, const struct packet* p, __u16 mtu) {
  if (!mtu || p->length <= mtu) return false;
#if !AT_XDP
  __u32 segment = ctx->gso_size;
  if (segment) return p->l4 - p->l3 + sizeof(struct tcphdr) + segment > mtu;
#endif
  return p->length > mtu;
}

INLINE bool set_link_addresses(packet_ctx* ctx, const struct translation* to) {
  struct ethhdr* eth = data_of(ctx);
  if ((void*)(eth + 1) > data_end_of(ctx)) return false;
  __builtin_memcpy(eth->h_dest, to->dmac, sizeof(eth->h_dest));
  __builtin_memcpy(eth->h_source, to->smac, sizeof(eth->h_source));
  return true;
}

INLINE int leave_by(packet_ctx* ctx, const struct translation* to) {
#if AT_XDP
  return XDP_TX;
#else
  switch (to->egress) {
    case EGRESS_STACK:
      return LEAVE_PASS;
    case EGRESS_PEER:
      return bpf_redirect_peer(to->ifindex, 0);
    case EGRESS_DEVICE:
      return bpf_redirect(to->ifindex, 0);
    default:
      return bpf_redirect_neigh(to->ifindex, NULL, 0, 0);
  }
#endif
}

#endif  // FAIRLEAD_BPF_LEAVE_H_
