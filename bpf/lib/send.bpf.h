// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// send: how a translated packet leaves.
#ifndef FAIRLEAD_BPF_SEND_H_
#define FAIRLEAD_BPF_SEND_H_

#include "answer.bpf.h"
#include "base.bpf.h"
#include "dsr.bpf.h"
#include "flow.bpf.h"
#include "packet.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

// Whether XDP may send it: out of the device it came in by. Any other takes an skb, or hardware that may not
// take part.
INLINE bool sendable_here(packet_ctx* ctx, const struct translation* to) {
#if AT_XDP
  return to->egress == EGRESS_DEVICE && to->ifindex == device_of(ctx) && !(to->flags & FLOW_DSR);
#else
  return true;
#endif
}

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

// Translates the packet and sends it. `verdict` if that goes well, else why not.
INLINE enum verdict send(packet_ctx* ctx, const struct packet* p, const struct translation* to, enum verdict verdict,
                         int* leave) {
  bool forwarded = to->egress != EGRESS_STACK;  // else the stack is the router
  if (to->egress == EGRESS_UNKNOWN) return VERDICT_DROP_NO_ROUTE;
  if (forwarded) {
    if (last_hop(ctx, p)) return VERDICT_DROP_TTL;
    if (to->flags & FLOW_DSR && !(to->flags & FLOW_REPLY)) return dsr_send(ctx, p, to, leave);
    if (too_big(ctx, p, to->mtu)) return answer_too_big(ctx, p, to->mtu, leave);
  }
  if (!rewrite(ctx, p, to, forwarded)) return VERDICT_DROP_MALFORMED;
  if (to->egress == EGRESS_DEVICE && !set_link_addresses(ctx, to)) return VERDICT_DROP_MALFORMED;
  *leave = leave_by(ctx, to);
  return verdict;
}

#endif  // FAIRLEAD_BPF_SEND_H_
