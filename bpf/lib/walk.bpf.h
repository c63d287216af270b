// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The walk of a packet, for TC and XDP alike:
//
//   0 filter     most packets are nobody's: by a bit of their destination
//   1 dissect    addresses, ports, what kind of packet it is
//   2 conntrack  of a flow: translated as that says, and sent
//   3 find       else: whose Service is it for
//   4 pick       a backend, a way to it, a source; both entries of the flow are made
//   5 rewrite    addresses, ports, checksums
//   6 send       up the stack, out of a device, into a pod
//
// `program` and `dry` are constants: each program is compiled with what it needs. `dry` changes nothing.
#ifndef FAIRLEAD_BPF_WALK_H_
#define FAIRLEAD_BPF_WALK_H_

#include "answer.bpf.h"
#include "begin.bpf.h"
#include "destination.bpf.h"
#include "dsr.bpf.h"
#include "explain.bpf.h"
#include "fragment.bpf.h"
#include "icmp.bpf.h"
#include "send.bpf.h"
#include "tunnel.bpf.h"

INLINE bool same_link(const struct flow* flow, const struct route* route) {
  __u8 differ = 0;
  for (__u32 i = 0; i < sizeof(route->dmac); i++)
    differ |= (flow->dmac[i] ^ route->dmac[i]) | (flow->smac[i] ^ route->smac[i]);
  return !differ && flow->ifindex == route->ifindex;
}

// Stores a route for the packets to come, which other CPUs read meanwhile: link addresses are written only
// while the entry does not say EGRESS_DEVICE. Where it does, and they are others now, it goes by the kernel's
// neighbour table until the next tick, when nobody is reading the old ones any more.
INLINE void store_route(struct flow* flow, const struct route* route) {
  __u8 egress = route->egress;
  bool direct = READ_ONCE(flow->egress) == EGRESS_DEVICE, same = same_link(flow, route);
  if (direct && !same && egress == EGRESS_DEVICE) egress = EGRESS_NEIGH;
  if (direct && !same) store_egress(flow, route->mtu, EGRESS_NEIGH);
  flow->ifindex = route->ifindex;
  if (egress == EGRESS_DEVICE && !same) {
    __builtin_memcpy(flow->dmac, route->dmac, sizeof(flow->dmac));
    __builtin_memcpy(flow->smac, route->smac, sizeof(flow->smac));
  }
  store_egress(flow, route->mtu, egress);
}

// Once a tick: looks the route up again and stores it for the packets to come. This packet goes by the
// kernel's neighbour table, which so learns that the neighbour is in use. 0: it stays as it is.
__noinline int route_again(packet_ctx* ctx, const struct packet* p, __u32 index, struct translation* to) {
  struct flow* flow = flow_at(index);
  if (!p || !to || !flow || to->egress == EGRESS_STACK) return 0;
  struct route route = {};
  route_to(ctx, &p->key, &to->dst, &route);
  if (route.egress == EGRESS_STACK && !(to->flags & FLOW_REPLY)) route.egress = EGRESS_UNKNOWN;
  if (to->egress == EGRESS_PEER && route.ifindex == to->ifindex) return 0;
  to->ifindex = route.ifindex;
  to->mtu = route.mtu;
  to->egress = route.egress == EGRESS_DEVICE ? EGRESS_NEIGH : route.egress;
  store_route(flow, &route);
  return 1;
}

// A packet of a known flow. VERDICT_NOT_OURS: it is another's, or another program's, to translate.
// `again`: the flow is over, and the packet begins a new one.
INLINE enum verdict go_on(packet_ctx* ctx, const struct packet* p, enum program program, bool dry,
                          __u32 index, const struct tunnel* tunnel, struct translation* to, bool* again,
                          int* leave) {
  struct flow* flow = flow_at(index);
  *again = true;
  if (!flow) return VERDICT_NOT_OURS;
  __u32 sequence = flow_read(flow, &p->key, to);
  if (sequence == FLOW_CHANGED) {  // the guess was wrong: another has the same tag
    index = flow_find(&p->key, hash_of(&p->key), false);
    flow = flow_at(index);
    if (!flow) STEP(FLOW_MISS, NULL, 0, 0);
    if (!flow) return VERDICT_NOT_OURS;
    sequence = flow_read(flow, &p->key, to);
    if (sequence == FLOW_CHANGED) return VERDICT_NOT_OURS;
  }
  bool reply = to->flags & FLOW_REPLY;
  STEP(FLOW_HIT, &to->dst, (__u64)to->flags << 8 | flow->state, to->dport);
  if (!reply) {
    bool asks = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;  // for a connection
    // Anybody can forge a reset: only ends of both sides end a connection for a new one.
    __u8 ends = to->flags & (FLOW_FIN_CLIENT | FLOW_FIN_BACKEND);
    bool ended = ends == (FLOW_FIN_CLIENT | FLOW_FIN_BACKEND) || (ends && to->flags & FLOW_DSR);
    bool over = asks && ended && flow->state == FLOW_CLOSED;
    bool ask =
        p->key.proto == IPPROTO_UDP || (asks && (flow->state == FLOW_SYN || flow->state == FLOW_CLOSED));
    if (ask && !over && !tunnel->port)
      over = !still_stands(p, program, flow);  // else: as the node that sent it says
    if (over) {
      if (!dry) flow_end(index);
      return VERDICT_NOT_OURS;
    }
  }
  *again = false;
  // Answers that the stack routes are undone where they leave.
  if (reply && (to->egress == EGRESS_STACK) != (program == PROGRAM_EGRESS)) return VERDICT_NOT_OURS;
  if (!reply && program == PROGRAM_EGRESS) return VERDICT_NOT_OURS;
#if AT_XDP
  // What needs more than the entry is TC's: a route, the other half's news.
  if (!sendable_here(ctx, to) || flow->last_seen != now_tick()) return VERDICT_NOT_OURS;
#endif
  STEP(ROUTE, NULL, to->ifindex, to->egress);
  enum verdict verdict = reply ? VERDICT_RETURNED : VERDICT_KEPT;
  if (dry) return verdict;
  *again = true;
  if (READ_ONCE(flow->sequence) != sequence) return VERDICT_NOT_OURS;  // it has just changed hands
  enum seen seen = flow_seen(flow, index, p);
  if (seen == SEEN_LOST) {
    flow_free(index);
    return VERDICT_NOT_OURS;
  }
  *again = false;
  if (!AT_XDP && (seen == SEEN_DUE || to->egress == EGRESS_UNKNOWN)) route_again(ctx, p, index, to);
  return send(ctx, p, to, verdict, leave);
}

// A packet whose headers contradict each other is ours to drop if it is for a Service; the node's own stack
// judges what is for the node.
INLINE enum verdict judge_malformed(const struct packet* p) {
  __u32 roles = address_roles(&p->key.dst);
  return roles & (ADDRESS_CLUSTER_IP | ADDRESS_EXTERNAL) && !(roles & ADDRESS_NODE) ? VERDICT_DROP_MALFORMED
                                                                                    : VERDICT_NOT_OURS;
}

// Neither TCP nor UDP.
INLINE enum verdict other_protocol(packet_ctx* ctx, const struct packet* p, enum program program,
                                   int* leave) {
  bool icmp = p->key.proto == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
  bool later = p->fragment == LATER_FRAGMENT;  // of ICMP: of an echo; errors are not fragmented
  if (p->key.proto == IPPROTO_SCTP || (later && !icmp)) return VERDICT_NOT_OURS;
  if (icmp && !later) {
    bool error = p->v6 ? p->icmp_type < 128
                       : p->icmp_type == ICMP_DEST_UNREACH || p->icmp_type == ICMP_TIME_EXCEEDED ||
                             p->icmp_type == ICMP_PARAMETERPROB;
    if (error) {
      enum verdict verdict = icmp_error(ctx, p, program, leave);
      return verdict == VERDICT_DROP_MALFORMED ? judge_malformed(p) : verdict;
    }
    if (p->icmp_type != (p->v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO)) return VERDICT_NOT_OURS;
  }
  __u32 roles = address_roles(&p->key.dst);
  if (!roles && program != PROGRAM_EGRESS && in_service_cidr(&p->key.dst)) return VERDICT_DROP_UNALLOCATED;
  if (roles & ADDRESS_NODE || !(roles & (ADDRESS_CLUSTER_IP | ADDRESS_EXTERNAL))) return VERDICT_NOT_OURS;
  if (icmp) return answer_ping(ctx, p, program, leave);
  return roles & ADDRESS_CLUSTER_IP && program != PROGRAM_EGRESS ? VERDICT_REJECT_UNDEFINED_PORT
                                                                 : VERDICT_NOT_OURS;
}

// A flow that both sides have ended; or one that was reset, which anybody can forge, and is silent since.
INLINE bool is_over(const struct flow* flow) {
  if (flow->state != FLOW_CLOSED) return false;
  return (flow->flags & FLOW_BOTH_FINS) == FLOW_BOTH_FINS || (__s32)(now_tick() - flow->last_seen) > 1;
}

// A connection to a backend itself whose answers a flow that is over would take for its own, and give the
// Service's address: that flow goes. One of the node's own is seen only as it leaves, with the port that
// nf_conntrack may have given it: any at all, where an earlier connection has its own.
__noinline int make_way(const struct flow_key* key) {
  if (!key) return 0;
  struct flow_key answers = *key;
  turn_round(&answers);
  __u32 index = flow_find(&answers, hash_of(&answers), false);
  struct flow* flow = flow_at(index);
  return flow && flow->flags & FLOW_REPLY && is_over(flow) && flow_end(index);
}

// Steps 2 to 6.
INLINE enum verdict decide(packet_ctx* ctx, struct packet* p, enum program program, bool dry,
                           const struct tunnel* tunnel, int* leave) {
  if (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP) {
    if (AT_XDP) return VERDICT_NOT_OURS;
    return other_protocol(ctx, p, program, leave);
  }
#if AT_XDP
  if (p->fragment != NOT_FRAGMENTED) return VERDICT_NOT_OURS;
#else
  if (p->fragment != NOT_FRAGMENTED && !tunnel->port && !dry) {
    enum verdict ported = fragment_ports(ctx, p, program, now_tick(), leave);
    if (ported != VERDICT_TRANSLATED) return ported;
  }
#endif
  struct plan plan = {};
  __u64 hash = hash_of(&p->key);
  __u32 index = flow_guess(hash);
  if (index) {
    bool again = false;
    enum verdict verdict = go_on(ctx, p, program, dry, index, tunnel, &plan.to, &again, leave);
    if (!again) return verdict;
    plan = (struct plan){};
  } else {
    STEP(FLOW_MISS, NULL, 0, 0);
  }
  enum verdict verdict = VERDICT_NOT_OURS;
  if (program != PROGRAM_EGRESS) verdict = begin(ctx, p, program, dry, tunnel, &plan);
  if (verdict == VERDICT_NOT_OURS && !AT_XDP && !dry && p->key.proto == IPPROTO_TCP && asks_to_connect(p))
    make_way(&p->key);
  if (program == PROGRAM_EGRESS) return VERDICT_NOT_OURS;
  // Another CPU has just made this very flow: the packet comes in again, and goes by that.
  if (verdict == VERDICT_DROP_FLOWS_FULL && flow_find(&p->key, hash, false)) {
#if !AT_XDP
    *leave = bpf_redirect(device_of(ctx), BPF_F_INGRESS);
#endif
    return VERDICT_NOT_OURS;
  }
  if (verdict != VERDICT_TRANSLATED || dry) return verdict;
  if (AT_XDP && !sendable_here(ctx, &plan.to)) return VERDICT_NOT_OURS;  // the flow is made: TC goes on
  return send(ctx, p, &plan.to, VERDICT_TRANSLATED, leave);
}

// What another node sent in a tunnel (DSR) is taken out first.
INLINE enum verdict decide_unpacked(packet_ctx* ctx, struct packet* p, enum program program, bool dry,
                                    int* leave) {
  struct tunnel tunnel = {};
#if !AT_XDP
  if (program == PROGRAM_UPLINK && !dry && is_tunnel(p)) {
    enum verdict unpacked = unpack(ctx, p, &tunnel, now_tick());
    if (unpacked != VERDICT_TRANSLATED) return unpacked;
  }
#endif
  enum verdict verdict = decide(ctx, p, program, dry, &tunnel, leave);
  bool sent = verdict == VERDICT_TRANSLATED || verdict == VERDICT_KEPT;
  return tunnel.port && sent ? VERDICT_DECAPSULATED : verdict;
}

// The only way out: counts the verdict, and does what its action is.
INLINE int finish(packet_ctx* ctx, const struct packet* p, enum program program, bool dry,
                  enum verdict verdict, int leave) {
  STEP(VERDICT, NULL, verdict, program);
  if (dry) return LEAVE_PASS;
  if (verdict == VERDICT_NOT_OURS) return leave;  // nothing is done, or it comes in again and is counted then
  if (AT_XDP && action_of(verdict) == ACTION_REJECT) return LEAVE_PASS;  // TC answers
  if (action_of(verdict) == ACTION_REJECT) {
    enum verdict instead = answer_reject(ctx, p, program, &leave);
    if (instead != VERDICT_NOT_OURS) verdict = instead;
  }
  count_verdict(program, verdict);
  return action_of(verdict) == ACTION_DROP ? LEAVE_DROP : leave;
}

INLINE int walk(packet_ctx* ctx, enum program program, bool dry) {
  if (!dry && obviously_not_ours(ctx, program == PROGRAM_EGRESS)) return LEAVE_PASS;
  if (for_vlan_device(ctx) || (program != PROGRAM_EGRESS && !dry && for_other_host(ctx))) return LEAVE_PASS;
  struct packet p;
  int dissected = DISSECT_OK;
  if (!dissect_plain(ctx, &p)) {
    p = (struct packet){};
    dissected = dissect(ctx, &p);
    if (dissected == DISSECT_SHORT && pull(ctx, HEADERS_MAX)) {
      p = (struct packet){};
      dissected = dissect(ctx, &p);
    }
  }
  if (dissected == DISSECT_NOT_IP) return LEAVE_PASS;
  STEP(PACKET, NULL, 0, p.key.proto);
  int leave = LEAVE_PASS;
  enum verdict verdict =
      dissected == DISSECT_OK ? decide_unpacked(ctx, &p, program, dry, &leave) : judge_malformed(&p);
  return finish(ctx, &p, program, dry, verdict, leave);
}

#endif  // FAIRLEAD_BPF_WALK_H_
