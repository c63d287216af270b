// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// begin: a new flow. What its packets become is decided here once, and both entries are made; every later
// packet only reads.
#ifndef FAIRLEAD_BPF_BEGIN_H_
#define FAIRLEAD_BPF_BEGIN_H_

#include "base.bpf.h"
#include "count.bpf.h"
#include "dsr.bpf.h"
#include "explain.bpf.h"
#include "flow.bpf.h"
#include "nat.bpf.h"
#include "packet.bpf.h"
#include "route.bpf.h"
#include "service.bpf.h"

// A flow that is to be made.
struct plan {
  struct translation to;  // of packets from the client
  __u32 service_id;
  __u32 backend_id;
};

INLINE void take_route(struct translation* to, const struct route* route) {
  to->ifindex = route->ifindex;
  to->egress = route->egress;
  to->mtu = route->mtu;
  __builtin_memcpy(to->dmac, route->dmac, sizeof(to->dmac));
  __builtin_memcpy(to->smac, route->smac, sizeof(to->smac));
}

// The backend, which is all that plan_way starts from.
INLINE void plan_backend(struct plan* plan, const struct ip_addr* addr, __be16 port, bool local) {
  plan->to.dst = *addr;
  plan->to.dport = port;
  if (local) plan->to.flags |= FLOW_LOCAL;
}

// How packets of this flow reach the backend: by which device, with which source address. The source port
// comes later. SEMANTICS section 6.
INLINE enum verdict plan_way(packet_ctx* ctx, const struct packet* p, enum program program,
                             const struct service_of_packet* service, struct plan* plan) {
  struct translation* to = &plan->to;
  __u8 flags = service->frontend.flags;
  bool local = to->flags & FLOW_LOCAL;
  bool hairpin = same_address(&p->key.src, &to->dst);
  bool masquerade =
      hairpin || flags & FRONTEND_MASQUERADE || (flags & FRONTEND_MASQUERADE_OUTSIDE && !service->pod);
  // DSR: the backend answers the client itself, and sees it, wherever it is.
  bool dsr = flags & FRONTEND_DSR && !hairpin && program != PROGRAM_POD;
  bool tunnel = dsr && !local;
  if (dsr) masquerade = false;
  to->src = p->key.src;
  to->sport = p->key.sport;
  to->egress = EGRESS_STACK;
  if (tunnel) to->flags |= FLOW_DSR;
  struct route route = {};
  if (masquerade || tunnel || (local && config.direct_delivery)) route_to(ctx, &p->key, &to->dst, &route);
  // Local delivery is past the place of masquerading: a backend in the node's own network sees the client.
  if (local && route.egress == EGRESS_STACK) masquerade = false;
  bool direct = config.direct_delivery && local && route.egress != EGRESS_UNKNOWN &&
                enters_pods_directly(route.ifindex);
  if (!masquerade && !tunnel && !direct) {  // the stack routes it
    to->flags |= FLOW_BY_STACK;
    return VERDICT_TRANSLATED;
  }
  if (route.egress == EGRESS_UNKNOWN || route.egress == EGRESS_STACK) return VERDICT_DROP_NO_ROUTE;
  take_route(to, &route);
  if (direct) to->egress = EGRESS_PEER;
  if (!masquerade) return VERDICT_TRANSLATED;
  to->flags |= FLOW_MASQUERADED;
  return node_address(route.ifindex, p->v6, &to->src) ? VERDICT_TRANSLATED : VERDICT_DROP_NO_ROUTE;
}

INLINE void fill(struct flow* flow, const struct plan* plan, const struct packet* p, __u8 direction) {
  flow->service_id = plan->service_id;
  flow->backend_id = plan->backend_id;
  flow->flags = plan->to.flags | direction;
  flow->state = p->key.proto == IPPROTO_UDP ? FLOW_UNREPLIED : FLOW_SYN;
}

// Asks for the lines of both entries, so that they arrive together while these are taken one after the other.
__noinline int touch_places(const struct flow_key* forward, const struct flow_key* reply) {
  if (!forward || !reply) return 0;
  touch_place(hash_of(forward));
  touch_place(hash_of(reply));
  return 1;
}

// The entry for packets from the backend, which is what holds the source port. Its index, or enum claim.
INLINE __s64 make_reply(struct plan* plan, const struct packet* p) {
  struct translation* to = &plan->to;
  struct flow_key key = {
      .src = to->dst, .dst = to->src, .sport = to->dport, .dport = p->key.sport, .proto = p->key.proto};
  touch_places(&p->key, &key);
  __s64 index = claim_source(&key, to->flags & FLOW_MASQUERADED);
  if (index <= 0) return index;
  to->sport = key.dport;
  struct flow* flow = flow_at(index);
  if (!flow) return CLAIM_FULL;
  flow->to_src = p->key.dst;
  flow->to_dst = p->key.src;
  flow->to_sport = p->key.dport;
  flow->to_dport = p->key.sport;
  flow->egress = to->flags & FLOW_BY_STACK ? EGRESS_STACK : EGRESS_UNKNOWN;
  fill(flow, plan, p, FLOW_REPLY);
  return index;
}

// The entry for packets from the client. Its index, or enum claim.
INLINE __s64 make_forward(const struct plan* plan, const struct packet* p) {
  const struct translation* to = &plan->to;
  __s64 index = flow_claim(&p->key);
  if (index <= 0) return index;
  struct flow* flow = flow_at(index);
  if (!flow) return CLAIM_FULL;
  flow->to_src = to->src;
  flow->to_dst = to->dst;
  flow->to_sport = to->sport;
  flow->to_dport = to->dport;
  flow->ifindex = to->ifindex;
  __builtin_memcpy(flow->dmac, to->dmac, sizeof(flow->dmac));
  __builtin_memcpy(flow->smac, to->smac, sizeof(flow->smac));
  flow->mtu = to->mtu;
  flow->egress = to->egress;
  flow->packets = 1;
  fill(flow, plan, p, 0);
  flow_publish(flow);
  return index;
}

// Both entries. If they cannot be made the packet is dropped, never sent without.
INLINE enum verdict make_flow(struct plan* plan, const struct packet* p) {
  bool answers_elsewhere = plan->to.flags & FLOW_DSR;
  __s64 reply = 0;
  if (!answers_elsewhere) {
    reply = make_reply(plan, p);
    if (reply <= 0) return reply == CLAIM_EXISTS ? VERDICT_DROP_NAT_EXHAUSTED : VERDICT_DROP_FLOWS_FULL;
  }
  __s64 forward = make_forward(plan, p);
  if (forward <= 0) {  // CLAIM_EXISTS: another CPU has made this very flow meanwhile; see decide()
    if (reply) flow_abandon(reply);
    return VERDICT_DROP_FLOWS_FULL;
  }
  if (reply) {
    struct flow* flow = flow_at(reply);
    if (flow) flow_publish(flow);
  }
  return VERDICT_TRANSLATED;
}

// Whether this packet may be the first of a flow. Of a connection that is not known, an end or an answer is
// nothing to begin with. What comes from the middle of one may go on with a backend, which resets it unless
// it is the one that had it; not on a port of the node, which may be the port of a connection of its own.
INLINE bool may_begin(const struct packet* p, const struct service_of_packet* service) {
  if (p->key.proto != IPPROTO_TCP) return true;
  if (p->tcp_flags & (TCP_RST | TCP_FIN)) return false;
  if (p->tcp_flags & TCP_SYN) return !(p->tcp_flags & TCP_ACK);
  return !(service->roles & ADDRESS_NODE);
}

// Of a TCP connection the first segment; any datagram.
INLINE bool asks_to_connect(const struct packet* p) {
  return p->key.proto != IPPROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

// Whether this packet is an earlier proxy's of this node: it may belong to a connection that that began; or
// that serves until our programs are on every device, since answers may come in by any.
INLINE bool may_be_earlier(const struct packet* p) {
  if (!config.leave_established) return false;
  __u32 node = 0;
  const struct device* row = bpf_map_lookup_elem(&devices, &node);
  __u32 flags = row ? row->flags : 0;
  return flags & DEVICE_EARLIER_SERVES || !(flags & DEVICE_NONE_EARLIER || asks_to_connect(p));
}

// Finds the Service and picks a backend. VERDICT_TRANSLATED, with `service` and the backend in `plan`; or how
// the packet ends.
INLINE enum verdict choose(const struct packet* p, enum program program, bool dry,
                           struct service_of_packet* service, struct plan* plan) {
  enum verdict verdict = find_service(p, program, dry, service);
  if (verdict != VERDICT_TRANSLATED) return verdict;
  if (may_be_earlier(p)) return AT_XDP ? VERDICT_NOT_OURS : VERDICT_LEFT_TO_STACK;  // TC counts it
  if (!service->frontend.count)
    return service->frontend.flags & FRONTEND_DROP_IF_EMPTY ? VERDICT_DROP_NO_LOCAL_ENDPOINT
                                                            : VERDICT_REJECT_NO_ENDPOINT;
  const struct run* run = run_head(service->frontend);
  if (!run) return VERDICT_DROP_BROKEN_TABLE;
  verdict = check_source(p, service, run, dry);
  if (verdict != VERDICT_TRANSLATED) return verdict;
  // Passed on, it would go by the default route, and perhaps come back by it.
  if (!may_begin(p, service)) return service->roles & ADDRESS_NODE ? VERDICT_NOT_OURS : VERDICT_DROP_NO_FLOW;

  const struct backend* backend = NULL;
  verdict = pick_backend(p, service->frontend, run, dry, &backend);
  if (verdict != VERDICT_TRANSLATED || !backend) return VERDICT_DROP_BROKEN_TABLE;
  plan->service_id = run->service_id;
  plan->backend_id = backend->id;
  plan_backend(plan, &backend->addr, backend->port, backend->flags & BACKEND_LOCAL);
  return VERDICT_TRANSLATED;
}

// Everything for the first packet of a flow. VERDICT_TRANSLATED and `plan` (zero before), or how it ends.
// What came in a tunnel has been judged, and its backend chosen, by the node that sent it.
INLINE enum verdict begin(packet_ctx* ctx, const struct packet* p, enum program program, bool dry,
                          const struct tunnel* tunnel, struct plan* plan) {
  struct service_of_packet service = {};
  enum verdict verdict = VERDICT_TRANSLATED;
  if (tunnel->port) {
    plan->service_id = tunnel->service_id;
    plan->backend_id = tunnel->backend_id;
    plan_backend(plan, &tunnel->backend, tunnel->port, true);
  } else {
    verdict = choose(p, program, dry, &service, plan);
  }
  if (verdict == VERDICT_TRANSLATED) verdict = plan_way(ctx, p, program, &service, plan);
  if (verdict == VERDICT_TRANSLATED && !dry) verdict = make_flow(plan, p);
  if (verdict != VERDICT_TRANSLATED) return verdict;
  if (plan->to.flags & FLOW_MASQUERADED) STEP(MASQUERADE, &plan->to.src, plan->to.sport, 0);
  STEP(ROUTE, NULL, plan->to.ifindex, plan->to.egress);
  if (!dry) count_connection(plan->service_id, plan->backend_id);
  return VERDICT_TRANSLATED;
}

#endif  // FAIRLEAD_BPF_BEGIN_H_
