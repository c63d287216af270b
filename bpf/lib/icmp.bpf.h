// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// icmp: an ICMP error about a packet of a flow is for whoever sent that packet, in words he knows.
//
// The error quotes the packet as it left here, or as the client got it: d -> s. The flow's entry for the
// other direction, s -> d becomes s' -> d', has all that is needed: who sent it is d', and he sent d' -> s'.
#ifndef FAIRLEAD_BPF_ICMP_H_
#define FAIRLEAD_BPF_ICMP_H_

#include "begin.bpf.h"
#include "dsr.bpf.h"
#include "flow.bpf.h"
#include "leave.bpf.h"
#include "packet.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

// An error quotes at least so much of layer 4 (RFC 792).
#define QUOTED_L4_MIN 8

// Fills `quoted` (zero before) with the packet that error `p` quotes. DISSECT_NOT_IP: none of a flow.
__noinline int dissect_quoted(packet_ctx* ctx, const struct packet* p, struct packet* quoted) {
  if (!p || !quoted) return DISSECT_NOT_IP;
  quoted->l3 = p->l4 + sizeof(struct icmp_header);
  quoted->v6 = p->v6;
  enum dissected dissected = p->v6 ? dissect_ipv6(ctx, quoted) : dissect_ipv4(ctx, quoted);
  if (dissected == DISSECT_MALFORMED) return DISSECT_MALFORMED;
  if (quoted->key.proto != IPPROTO_TCP && quoted->key.proto != IPPROTO_UDP)
    return dissected == DISSECT_OK ? DISSECT_NOT_IP : dissected;
  if (quoted->fragment == LATER_FRAGMENT) return DISSECT_NOT_IP;
  __be16* ports = header_at(ctx, quoted->l4);
  if ((void*)ports + QUOTED_L4_MIN > data_end_of(ctx)) return DISSECT_SHORT;
  quoted->key.sport = ports[0];  // TCP's header need not be there whole
  quoted->key.dport = ports[1];
  return DISSECT_OK;
}

// From the packet's own tuple to that of its answers.
INLINE void turn_round(struct flow_key* key) {
  struct ip_addr src = key->src;
  __be16 sport = key->sport;
  key->src = key->dst;
  key->sport = key->dport;
  key->dst = src;
  key->dport = sport;
}

// Gives the quoted packet the addresses and ports its sender gave it: `about` has its key turned round. Adds
// to `changed` what that changes in the sum over the error.
INLINE bool rewrite_quoted(packet_ctx* ctx, const struct packet* p, const struct packet* about,
                           const struct translation* to, __u64* changed) {
  const struct flow_key* key = &about->key;
  bool udp = key->proto == IPPROTO_UDP;
  __u64 addresses = sum_diff_addr(&key->src, &to->src, p->v6) + sum_diff_addr(&key->dst, &to->dst, p->v6);
  __u64 diff = sum_diff((__u32)key->dport << 16 | key->sport, (__u32)to->dport << 16 | to->sport);
  *changed += addresses + diff;
  diff += addresses;

  __be16* ports = header_at(ctx, about->l4);
  void* end = data_end_of(ctx);
  if ((void*)ports + QUOTED_L4_MIN > end) return false;
  ports[0] = to->dport;
  ports[1] = to->sport;
  __u32 offset = udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check);
  __u16* check = (void*)ports + offset;
  bool quoted = (void*)(check + 1) <= end && about->l4 + offset + 2 <= p->l3 + p->length;
  if (quoted && (*check || !udp)) {
    __u16 after = checksum_after(*check, diff);
    if (udp && !after) after = 0xffff;
    *changed += sum_diff(*check, after);
    *check = after;
  }
  if (p->v6) {
    struct ipv6hdr* ip = header_at(ctx, about->l3);
    if ((void*)(ip + 1) > end) return false;
    __builtin_memcpy(&ip->saddr, &to->dst, sizeof(ip->saddr));
    __builtin_memcpy(&ip->daddr, &to->src, sizeof(ip->daddr));
    return true;
  }
  struct iphdr* ip = header_at(ctx, about->l3);
  if ((void*)(ip + 1) > end) return false;
  ip->saddr = to->dst.words[3];
  ip->daddr = to->src.words[3];
  __u16 after = checksum_after(ip->check, addresses);
  *changed += sum_diff(ip->check, after);
  ip->check = after;
  return true;
}

// The whole error: what it quotes, its checksum, its own addresses. 0: it is too short for that.
__noinline int rewrite_error(packet_ctx* ctx, const struct packet* p, const struct packet* about,
                             struct translation* to) {
  if (!p || !about || !to) return 0;
  bool hop = to->egress != EGRESS_STACK;
  __u64 changed = 0;
  if (!rewrite_quoted(ctx, p, about, to, &changed)) return 0;
  // As nf_nat: where the flow hides a source, an error from behind it comes from the address that hides it,
  // be it the peer's or a router's; else from whoever sent it.
  if (same_address(&about->key.src, &to->src)) to->src = p->key.src;
  __u64 addresses = sum_diff_addr(&p->key.src, &to->src, p->v6) + sum_diff_addr(&p->key.dst, &to->dst, p->v6);
  if (p->v6) changed += addresses;  // by the pseudo header
#if !AT_XDP
  __u32 offset = p->l4 + __builtin_offsetof(struct icmp_header, checksum);
  if (bpf_l4_csum_replace(ctx, offset, 0, fold(changed), 0)) return 0;
#endif
  return p->v6 ? rewrite_ipv6(ctx, p, to, hop) : rewrite_ipv4(ctx, p, to, addresses, hop);
}

// The way to to->dst, unless the flow's packets go up the stack or straight into a pod. Errors are few:
// looked up each time, and not stored. 0: there is none.
__noinline int route_error(packet_ctx* ctx, const struct packet* p, struct translation* to) {
  if (!p || !to) return 0;
  if (to->egress == EGRESS_STACK || to->egress == EGRESS_PEER) return 1;
  struct route route = {};
  route_to(ctx, &p->key, &to->dst, &route);
  if (route.egress == EGRESS_STACK && !(to->flags & FLOW_REPLY)) route.egress = EGRESS_UNKNOWN;
  take_route(to, &route);
  return to->egress != EGRESS_UNKNOWN;
}

// Translates the error, inside and out, if it is about a packet of a flow: VERDICT_ICMP_TRANSLATED and
// `leave`; else VERDICT_NOT_OURS. VERDICT_DROP_MALFORMED: what it quotes ends too early to tell; for the
// caller to judge. The flow's own state does not change: anybody can forge an error.
INLINE enum verdict icmp_error(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  struct packet about = {};
  pull(ctx, HEADERS_MAX);
  int dissected = dissect_quoted(ctx, p, &about);
  if (dissected != DISSECT_OK) return dissected == DISSECT_NOT_IP ? VERDICT_NOT_OURS : VERDICT_DROP_MALFORMED;
  turn_round(&about.key);
  struct flow* flow = flow_at(flow_find(&about.key, hash_of(&about.key), false));
  struct translation to;
  if (!flow || !flow_read(flow, &about.key, &to)) return VERDICT_NOT_OURS;
  // Undone where packets of this direction are.
  bool on_egress = to.flags & FLOW_REPLY && to.egress == EGRESS_STACK;
  if (on_egress != (program == PROGRAM_EGRESS)) return VERDICT_NOT_OURS;

  if (!route_error(ctx, p, &to)) return VERDICT_DROP_NO_ROUTE;
  if (to.egress != EGRESS_STACK && last_hop(ctx, p)) return VERDICT_DROP_TTL;
  if (to.flags & FLOW_DSR && !(to.flags & FLOW_REPLY)) return dsr_send(ctx, p, &to, leave);
  if (!rewrite_error(ctx, p, &about, &to)) return VERDICT_DROP_MALFORMED;
  if (to.egress == EGRESS_DEVICE && !set_link_addresses(ctx, &to)) return VERDICT_DROP_MALFORMED;
  *leave = leave_by(ctx, &to);
  return VERDICT_ICMP_TRANSLATED;
}

#endif  // FAIRLEAD_BPF_ICMP_H_
