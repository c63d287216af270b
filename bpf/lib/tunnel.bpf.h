// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// tunnel: the other end of dsr.bpf.h, on the backend's node. A packet is taken out of a tunnel only if what
// is inside belongs to a flow that goes to that very backend, or is for a Service with DSR of which it is a
// backend here. Whoever can send to a pod can so reach it by its Service too, past the source ranges that the
// first node would have checked; and nothing else.
#ifndef FAIRLEAD_BPF_TUNNEL_H_
#define FAIRLEAD_BPF_TUNNEL_H_

#include "dsr.bpf.h"
#include "flow.bpf.h"
#include "fragment.bpf.h"
#include "frontend.bpf.h"
#include "icmp.bpf.h"
#include "packet.bpf.h"
#include "run.bpf.h"

#if !AT_XDP

INLINE bool is_tunnel(const struct packet* p) {
  return p->key.proto == (p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP) && p->fragment == NOT_FRAGMENTED &&
         p->l4 - p->l3 == tunnel_overhead(p);
}

// `p` becomes the packet inside, with its offsets in the frame as it is; `tunnel` gets what was outside. 0:
// what is inside is no packet.
__noinline int tunnel_look(packet_ctx* ctx, struct packet* p, struct tunnel* tunnel) {
  if (!p || !tunnel) return 0;
  pull(ctx, HEADERS_MAX);
  __be16* outer = header_at(ctx, p->l3);
  if ((void*)outer + sizeof(struct iphdr) > data_end_of(ctx)) return 0;
  tunnel->port = p->v6 ? outer[1] : outer[2];
  tunnel->backend = p->key.dst;
  struct ip_addr sender = p->key.src;
  __u16 inside = p->l4;
  __u8 v6 = p->v6;
  __builtin_memset(p, 0, sizeof(*p));
  p->l3 = inside;
  p->v6 = v6;
  enum dissected dissected = v6 ? dissect_ipv6(ctx, p) : dissect_ipv4(ctx, p);
  tunnel->from_destination = same_address(&sender, &p->key.dst);
  return dissected == DISSECT_OK && tunnel->port;
}

// Whether this key's flow goes to the tunnel's backend. 0: it does not, or there is none. `goes_on`: the
// address alone says so, since segments of one large packet count the outer id, where the port is, up
// (net/ipv4/af_inet.c, inet_gso_segment).
__noinline int flow_of_tunnel(const struct flow_key* key, struct tunnel* tunnel, bool goes_on) {
  if (!key || !tunnel) return 0;
  struct flow* flow = flow_at(flow_find(key, hash_of(key), false));
  if (!flow || flow->flags & (FLOW_REPLY | FLOW_DSR)) return 0;
  tunnel->service_id = flow->service_id;
  tunnel->backend_id = flow->backend_id;
  if (!same_address(&flow->to_dst, &tunnel->backend)) return 0;
  if (goes_on) tunnel->port = flow->to_dport;
  return flow->to_dport == tunnel->port;
}

// The same of the flow whose packet an ICMP error is about.
__noinline int error_of_tunnel(packet_ctx* ctx, const struct packet* p, struct tunnel* tunnel) {
  if (!p) return 0;
  struct packet about = {};
  if (dissect_quoted(ctx, p, &about) != DISSECT_OK) return 0;
  turn_round(&about.key);
  return flow_of_tunnel(&about.key, tunnel, true);
}

struct backend_search {
  const struct tunnel* tunnel;
  __u32 next;  // record to look at
  __u32 backend_id;
  bool found;
};

static long is_backend_of_tunnel(__u64 i, struct backend_search* search) {
  __u32 index = search->next++;
  struct record* record = bpf_map_lookup_elem(&backends, &index);
  if (!record) return 1;
  const struct backend* backend = &record->backend;
  if (!(backend->flags & BACKEND_LOCAL) || backend->port != search->tunnel->port ||
      !same_address(&backend->addr, &search->tunnel->backend))
    return 0;
  search->backend_id = backend->id;
  search->found = true;
  return 1;
}

// Whether a new flow of this key may go to the tunnel's backend. The draining ones count: the node that sent
// the packet knows of the flow. A NodePort of another node is known by its number alone, and only from that
// node.
__noinline int service_of_tunnel(const struct flow_key* key, struct tunnel* tunnel) {
  if (!key || !tunnel) return 0;
  if (key->proto != IPPROTO_TCP && key->proto != IPPROTO_UDP) return 0;
  struct frontend_key want = {
      .addr = key->dst, .port = key->dport, .proto = key->proto, .scope = SCOPE_CLUSTER};
  struct frontend frontend = frontend_get(&want);
  if (!frontend.flags && tunnel->from_destination) frontend = nodeport_get(&key->dst, key->dport, key->proto);
  if (!(frontend.flags & FRONTEND_DSR)) return 0;
  const struct run* run = run_head(frontend);
  if (!run) return 0;
  struct backend_search search = {.tunnel = tunnel, .next = frontend.offset + 1};
  bpf_loop((__u32)frontend.count + run->draining, is_backend_of_tunnel, &search, 0);
  tunnel->service_id = run->service_id;
  tunnel->backend_id = search.backend_id;
  return search.found;
}

INLINE bool may_unpack(packet_ctx* ctx, struct packet* p, struct tunnel* tunnel, __u32 tick) {
  if (p->key.proto == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return error_of_tunnel(ctx, p, tunnel);
  if (p->fragment == LATER_FRAGMENT && !ports_of_datagram(p, tick)) return false;
  bool begins = p->key.proto == IPPROTO_UDP || p->tcp_flags & TCP_SYN;
  if (flow_of_tunnel(&p->key, tunnel, !begins)) return true;
  if (!service_of_tunnel(&p->key, tunnel)) return false;
  if (!begins && flow_find(&p->key, hash_of(&p->key), false)) return false;
  // The node that sent the packet has chosen another backend.
  flow_end(flow_find(&p->key, hash_of(&p->key), false));
  return true;
}

// Takes a packet for a backend here out of its tunnel: VERDICT_TRANSLATED, and `p` is the packet that was
// inside; `tunnel` says where it goes. VERDICT_NOT_OURS: the tunnel is another's.
INLINE enum verdict unpack(packet_ctx* ctx, struct packet* p, struct tunnel* tunnel, __u32 tick) {
  __u32 overhead = tunnel_overhead(p);
  if (!tunnel_look(ctx, p, tunnel) || !may_unpack(ctx, p, tunnel, tick)) {
    tunnel->port = 0;
    return VERDICT_NOT_OURS;
  }
  if (p->fragment == FIRST_FRAGMENT) remember_ports(p, tick);
  if (bpf_skb_adjust_room(ctx, -(__s32)overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
    return VERDICT_DROP_MALFORMED;
  p->l3 -= overhead;
  p->l4 -= overhead;
  return VERDICT_TRANSLATED;
}

#endif  // !AT_XDP

#endif  // FAIRLEAD_BPF_TUNNEL_H_
