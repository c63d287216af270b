// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// answer: what the sender of a packet is told, and when nothing may be said. XDP answers nobody: TC has the
// helpers that change a packet's length.
#ifndef FAIRLEAD_BPF_ANSWER_H_
#define FAIRLEAD_BPF_ANSWER_H_

#include "base.bpf.h"
#include "fresh.bpf.h"
#include "maps/answer_budget.h"
#include "packet.bpf.h"

#if AT_XDP

INLINE enum verdict answer_reject(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  return VERDICT_NOT_OURS;
}
INLINE enum verdict answer_too_big(packet_ctx* ctx, const struct packet* p, __u16 mtu, int* leave) {
  return VERDICT_NOT_OURS;
}
INLINE enum verdict answer_ping(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  return VERDICT_NOT_OURS;
}

#else

#define ICMP_KIND(type, code) ((type) << 8 | (code))
#define ICMP_PORT_UNREACHABLE ICMP_KIND(3, 3)    // RFC 792
#define ICMP_TOO_BIG ICMP_KIND(3, 4)             // RFC 1191 4
#define ICMPV6_PORT_UNREACHABLE ICMP_KIND(1, 4)  // RFC 4443 3.1
#define ICMPV6_TOO_BIG ICMP_KIND(2, 0)           // RFC 4443 3.2

// Takes a token of this CPU's bucket. False: there is none. A program that interrupts another here costs a
// token at most.
INLINE bool take_token(void) {
  __u32 index = 0;
  struct answer_budget* budget = bpf_map_lookup_elem(&answer_budget, &index);
  if (!budget) return false;
  __u64 interval_ns = 1000000000ULL / ANSWERS_PER_S;
  __u64 now_ns = bpf_ktime_get_ns(), filled_ns = READ_ONCE(budget->filled_ns);
  __u64 earned = now_ns > filled_ns ? (now_ns - filled_ns) / interval_ns : 0;
  __u64 tokens = READ_ONCE(budget->tokens) + earned;
  if (tokens > ANSWERS_BURST) tokens = ANSWERS_BURST;
  budget->filled_ns = filled_ns + earned * interval_ns;
  budget->tokens = tokens ? tokens - 1 : 0;
  return tokens != 0;
}

// Whether its sender is somebody, and the packet was for one alone: nobody may be told of any other (RFC 1122
// 3.2.2, RFC 4443 2.4 e).
INLINE bool may_tell(packet_ctx* ctx, const struct packet* p) {
  struct ethhdr* eth = data_of(ctx);
  if ((void*)(eth + 1) > data_end_of(ctx) || eth->h_dest[0] & 1) return false;
  const struct ip_addr* src = &p->key.src;
  if (!p->v6) return src->bytes[12] && src->bytes[12] != 127 && src->bytes[12] < 224;
  bool none = !src->halves[0] && !src->words[2] && (!src->words[3] || src->words[3] == bpf_htonl(1));
  return !none && src->bytes[0] != 0xff;
}

// Turns a packet that is refused into a reset, or an ICMP port unreachable, from the address it was for, and
// sends it back. VERDICT_NOT_OURS: done, `leave` says how; else what became of it instead. Resets and later
// fragments vanish: an answer to them would be answered again, or names no port.
INLINE enum verdict answer_reject(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  *leave = LEAVE_DROP;
  bool tcp = p->key.proto == IPPROTO_TCP;
  if (p->fragment == LATER_FRAGMENT || (tcp && p->tcp_flags & TCP_RST) || !may_tell(ctx, p))
    return VERDICT_NOT_OURS;
  if (!take_token()) return VERDICT_DROP_RATE_LIMIT;
  __u32 kind = p->v6 ? ICMPV6_PORT_UNREACHABLE : ICMP_PORT_UNREACHABLE;
  if (!(tcp ? make_reset(ctx, p) : make_icmp_error(ctx, p, kind, 0))) return VERDICT_DROP_MALFORMED;
  *leave = turn_back(ctx, program);
  return VERDICT_NOT_OURS;
}

// Tells the sender that the packet is larger than `mtu` (RFC 1191, RFC 8201), from the address it was for. An
// IPv4 packet that may be fragmented is not: what is redirected never is. Its sender is told as well; Linux
// then cuts what it sends to that address. Of a later fragment the first one has told.
INLINE enum verdict answer_too_big(packet_ctx* ctx, const struct packet* p, __u16 mtu, int* leave) {
  *leave = LEAVE_DROP;
  if (p->fragment == LATER_FRAGMENT || !may_tell(ctx, p)) return VERDICT_TOLD_TOO_BIG;
  if (!take_token()) return VERDICT_DROP_RATE_LIMIT;
  if (!make_icmp_error(ctx, p, p->v6 ? ICMPV6_TOO_BIG : ICMP_TOO_BIG, mtu)) return VERDICT_DROP_MALFORMED;
  *leave = turn_back(ctx, PROGRAM_UPLINK);  // or a pod: on the way out the stack minds the MTU
  return VERDICT_TOLD_TOO_BIG;
}

// Answers an echo request in place of the address it is for.
INLINE enum verdict answer_ping(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  if (!may_tell(ctx, p)) return VERDICT_NOT_OURS;
  if (!make_echo_reply(ctx, p)) return VERDICT_DROP_MALFORMED;
  *leave = turn_back(ctx, program);
  return VERDICT_ANSWERED_PING;
}

#endif  // !AT_XDP

#endif  // FAIRLEAD_BPF_ANSWER_H_
