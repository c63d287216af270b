// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a packet does to its flow: the state, what the other half is told, and how both are told of an end.
#ifndef FAIRLEAD_BPF_FLOW_H_
#define FAIRLEAD_BPF_FLOW_H_

#include "base.bpf.h"
#include "flow_table.bpf.h"
#include "packet.bpf.h"

// What a packet changes: flags to set and to clear, and the state after it.
struct news {
  __u8 set;
  __u8 clear;
  __u8 state;
  __u8 reserved;
};
// Flags that both halves have.
#define FLOW_BOTH_FINS (FLOW_FIN_CLIENT | FLOW_FIN_BACKEND)
#define FLOW_SHARED (FLOW_BOTH_FINS | FLOW_ANSWERED)

// The word of state and flags, which change together: packets of both directions write them, on two CPUs, and
// of two ends neither may be lost.
union flow_word {
  __u32 word;
  struct {
    __u8 state;
    __u8 flags;
    __u8 reserved[2];
  };
};
WIRE_ASSERT(__builtin_offsetof(struct flow, flags) == __builtin_offsetof(struct flow, state) + 1,
            "state and flags are in one word");

INLINE void flow_change(struct flow* flow, struct news news) {
  __u32* word = (__u32*)&flow->state;
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < FLOW_LOCK_TRIES; i++) {
    union flow_word old = {.word = READ_ONCE(*word)}, now = old;
    now.flags = (old.flags & ~news.clear) | news.set;
    now.state = (now.flags & FLOW_BOTH_FINS) == FLOW_BOTH_FINS ? FLOW_CLOSED : news.state;
    if (now.word == old.word || __sync_val_compare_and_swap(word, old.word, now.word) == old.word) return;
  }
}

// flow_tell: the other half's tuple is another flow's by now.
#define FLOW_OF_OTHERS (~0U)

INLINE bool is_other_half(const struct flow* other, const struct flow* flow) {
  return same_address(&other->to_dst, &flow->key.src) && other->to_dport == flow->key.sport &&
         same_address(&other->to_src, &flow->key.dst) && other->to_sport == flow->key.dport;
}

// Copies news of a half to its other half, and what that knows besides to this. Returns the other half,
// FLOW_OF_OTHERS, or 0: it is missing.
__noinline __u32 flow_tell(__u32 index, __u32 cleared) {
  struct flow* flow = flow_at(index);
  if (!flow) return 0;
  struct flow_key key = {};
  other_way(flow, &key);
  __u32 other_index = flow_find(&key, hash_of(&key), false);
  if (!other_index) return 0;
  struct flow* other = flow_at(other_index);
  if (!other || !is_other_half(other, flow)) return FLOW_OF_OTHERS;
  __u8 mine = flow->flags & FLOW_SHARED, theirs = other->flags & FLOW_SHARED & ~cleared;
  struct news news = {.set = mine, .clear = cleared, .state = flow->state};
  flow_change(other, news);
  news.set = theirs;
  news.clear = 0;
  if (theirs & ~mine) flow_change(flow, news);
  other->last_seen = flow->last_seen;
  return other_index;
}

// Makes the other half anew from this one. Beside flow_tell, not in it: frames of functions that call each
// other add up.
__noinline int flow_rebuild(__u32 index) {
  struct flow* flow = flow_at(index);
  if (!flow) return 0;
  struct flow_key key = {};
  other_way(flow, &key);
  __s64 claimed = flow_claim(&key);
  struct flow* other = claimed > 0 ? flow_at(claimed) : NULL;
  if (!other) return 0;
  other->to_src = flow->key.dst;
  other->to_dst = flow->key.src;
  other->to_sport = flow->key.dport;
  other->to_dport = flow->key.sport;
  other->service_id = flow->service_id;
  other->backend_id = flow->backend_id;
  other->state = flow->state;
  other->flags = flow->flags ^ FLOW_REPLY;
  other->egress = flow->flags & FLOW_BY_STACK ? EGRESS_STACK : EGRESS_UNKNOWN;
  flow_publish(other);
  return 1;
}

// Frees both halves.
__noinline int flow_end(__u32 index) {
  struct flow* flow = flow_at(index);
  if (!flow) return 0;
  struct flow_key key = {};
  other_way(flow, &key);
  __u32 other_index = flow_find(&key, hash_of(&key), false);
  struct flow* other = flow_at(other_index);
  if (other && is_other_half(other, flow)) flow_free(other_index);
  return flow_free(index);
}

// The state after this packet, from the state before it; `flags` gets who has closed. With DSR the backend's
// answers are not seen here: that the client goes on, with datagrams in another tick (`due`), stands for
// them, and its end is the end.
INLINE __u8 next_state(__u8 state, const struct packet* p, bool due, __u8* flags) {
  if (p->fragment == LATER_FRAGMENT) return state;
  bool reply = *flags & FLOW_REPLY, alone = *flags & FLOW_DSR;
  if (p->key.proto == IPPROTO_UDP)
    return state == FLOW_UNREPLIED && (reply || (alone && due)) ? FLOW_STREAM : state;
  if (p->tcp_flags & TCP_RST) {  // what had ended may begin again with the same entry
    *flags &= ~(FLOW_ANSWERED | FLOW_FIN_CLIENT | FLOW_FIN_BACKEND);
    return FLOW_CLOSED;
  }
  if (p->tcp_flags & TCP_FIN) *flags |= reply ? FLOW_FIN_BACKEND : FLOW_FIN_CLIENT;
  __u8 closed = *flags & (FLOW_FIN_CLIENT | FLOW_FIN_BACKEND);
  if (closed == (FLOW_FIN_CLIENT | FLOW_FIN_BACKEND) || (closed && alone)) return FLOW_CLOSED;
  // Anybody can forge a reset. A connection that goes on after one is established again when both have
  // spoken.
  if (state == FLOW_CLOSED) return p->tcp_flags & (TCP_SYN | TCP_FIN) ? state : FLOW_SYN;
  if (closed) return FLOW_HALF_CLOSED;
  if (state != FLOW_SYN) return state;
  // An answer alone does not make it: anybody gets one, from any source address he likes.
  if (reply) *flags |= FLOW_ANSWERED;
  bool goes_on = !reply && !(p->tcp_flags & TCP_SYN);
  return goes_on && (alone || *flags & FLOW_ANSWERED) ? FLOW_ESTABLISHED : state;
}

enum seen { SEEN, SEEN_DUE, SEEN_LOST };

// A packet was seen. Most change nothing; what changes goes to the other half too, and so does, once a tick,
// that the flow lives. SEEN_DUE once a tick: time to look the route up again. SEEN_LOST: the other half went,
// and its tuple is another flow's now: this one must not go on into that.
INLINE enum seen flow_seen(struct flow* flow, __u32 index, const struct packet* p) {
  __u32 tick = now_tick();
  union flow_word before = {.word = READ_ONCE(*(__u32*)&flow->state)};
  __u8 flags = before.flags;
  bool due = flow->last_seen != tick;
  __u8 state = next_state(before.state, p, due, &flags);
  bool changed = state != before.state || flags != before.flags;
  flow->packets++;
  if (!changed && !due) return SEEN;
  struct news news = {.set = flags & ~before.flags, .clear = before.flags & ~flags, .state = state};
  if (changed) flow_change(flow, news);
  flow->last_seen = tick;
  if (!(flags & FLOW_DSR)) {
    __u32 told = flow_tell(index, news.clear);
    if (told == FLOW_OF_OTHERS) return SEEN_LOST;
    if (!told) flow_rebuild(index);
  }
  return due ? SEEN_DUE : SEEN;
}

#endif  // FAIRLEAD_BPF_FLOW_H_
