// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// conntrack: the flow table's protocol (maps/conntrack.h) and what a packet does to the state of its flow.
//
// An entry is named by its index + 1: set * FLOW_WAYS + way, plus one, so that 0 is none.
#ifndef FAIRLEAD_BPF_FLOW_H_
#define FAIRLEAD_BPF_FLOW_H_

#include "base.bpf.h"
#include "maps/conntrack.h"
#include "packet.bpf.h"

#define FLOW_LOCK_TRIES 64

enum claim { CLAIM_EXISTS = -1, CLAIM_FULL = -2 };

INLINE __u32 now_tick(void) {
  return bpf_jiffies64() >> config.tick_shift;
}

INLINE __u64 hash_of(const struct flow_key* key) {
  return flow_hash(key, config.flow_keys);
}
INLINE __u32 set_of(__u64 hash, bool second) {
  return second ? flow_second_set(hash, config.flow_mask) : flow_first_set(hash, config.flow_mask);
}

// 0x80 in each byte of `tags` that equals `tag`.
INLINE __u64 tags_equal(__u64 tags, __u8 tag) {
  __u64 x = tags ^ 0x0101010101010101ULL * tag;
  return ~(((x & 0x7f7f7f7f7f7f7f7fULL) + 0x7f7f7f7f7f7f7f7fULL) | x | 0x7f7f7f7f7f7f7f7fULL);
}
// The number of the lowest byte that is marked so.
INLINE __u32 first_marked(__u64 marks) {
  __u64 lowest = (marks & -marks) >> 7;
  return lowest * 0x0001020304050607ULL >> 56 & (FLOW_WAYS - 1);
}
INLINE __u32 count_marked(__u64 marks) {
  return (marks >> 7) * 0x0101010101010101ULL >> 56;
}

INLINE bool same_key(const struct flow_key* a, const struct flow_key* b) {
  const __u64* x = (const __u64*)a;
  const __u64* y = (const __u64*)b;
  return x[1] == y[1] && x[3] == y[3] && x[4] == y[4] && x[0] == y[0] && x[2] == y[2];
}

INLINE struct flow* flow_at(__u32 index) {
  __u32 set_index = (index - 1) / FLOW_WAYS;
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &set_index);
  if (!set) return NULL;
  asm volatile("" : "+r"(set));  // no arithmetic on it before the check
  return &set->entry[(index - 1) % FLOW_WAYS];
}

// The entry of this key, or 0. `being_written`: one that is just being made counts too.
__noinline __u32 flow_find(const struct flow_key* key, __u64 hash, bool being_written) {
  if (!key) return 0;
  __u8 tag = flow_tag(hash);
  for (int second = 0; second < 2; second++) {
    __u32 index = set_of(hash, second);
    struct flow_set* set = bpf_map_lookup_elem(&conntrack, &index);
    if (!set) return 0;
    __u64 marks = tags_equal(READ_ONCE(set->tags), tag);
#pragma clang loop unroll(disable)
    for (__u32 i = 0; i < FLOW_WAYS && marks; i++, marks &= marks - 1) {
      __u32 way = first_marked(marks);
      struct flow* flow = &set->entry[way];
      __u32 sequence = READ_ONCE(flow->sequence);
      if (sequence & 1 && !being_written) continue;
      if (same_key(&AFTER(sequence, flow)->key, key)) return index * FLOW_WAYS + way + 1;
    }
  }
  return 0;
}

// The way of its first set where a key's entry is if that was free: it can be looked at without the tags, one
// cache miss instead of two in a row.
INLINE __u32 home_way(__u64 hash) {
  return hash >> 48 & (FLOW_WAYS - 1);
}

// The entry of this key, or 0, for a packet: mostly at home, or nowhere; then no function is called.
INLINE __u32 flow_lookup(const struct flow_key* key, __u64 hash) {
  __u32 first = set_of(hash, false), second = set_of(hash, true), way = home_way(hash);
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &first);
  if (!set) return 0;
  struct flow* home = &set->entry[way];
  __u32 sequence = READ_ONCE(home->sequence);
  home = AFTER(sequence, home);
  if (!(sequence & 1) && home->state != FLOW_FREE && same_key(&home->key, key))
    return first * FLOW_WAYS + way + 1;
  __u8 tag = flow_tag(hash);
  __u64 marks = tags_equal(READ_ONCE(set->tags), tag);
  set = bpf_map_lookup_elem(&conntrack, &second);
  if (set) marks |= tags_equal(READ_ONCE(set->tags), tag);
  return marks ? flow_find(key, hash, false) : 0;
}

// What becomes of a packet: the part of an entry that is copied before it is used, so that an entry that
// changes hands meanwhile does no harm.
struct translation {
  struct ip_addr src;
  struct ip_addr dst;
  __be16 sport;
  __be16 dport;
  __u32 ifindex;
  __u8 dmac[6];
  __u8 smac[6];
  __u16 mtu;
  __u8 egress;
  __u8 flags;
};
WIRE_ASSERT(sizeof(struct translation) % 8 == 0, "read as words");

// False if the entry is no longer this key's.
INLINE bool flow_read(const struct flow* flow, const struct flow_key* key, struct translation* out) {
  __u32 sequence = READ_ONCE(flow->sequence);
  const struct flow* stable = AFTER(sequence, flow);
  if (sequence & 1 || !same_key(&stable->key, key)) return false;
  out->src = stable->to_src;
  out->dst = stable->to_dst;
  out->sport = stable->to_sport;
  out->dport = stable->to_dport;
  out->ifindex = stable->ifindex;
  __builtin_memcpy(out->dmac, stable->dmac, sizeof(out->dmac));
  __builtin_memcpy(out->smac, stable->smac, sizeof(out->smac));
  out->mtu = stable->mtu;
  out->egress = stable->egress;
  out->flags = stable->flags;
  // All that was read, so that the sequence is read after it.
  const __u64* words = (const __u64*)out;
  __u64 all = 0;
#pragma unroll
  for (__u32 i = 0; i < sizeof(*out) / sizeof(__u64); i++) all ^= words[i];
  return READ_ONCE(AFTER(all, flow)->sequence) == sequence;
}

// The key of a flow's packets in the other direction.
INLINE void other_way(const struct flow* flow, struct flow_key* key) {
  key->src = flow->to_dst;
  key->dst = flow->to_src;
  key->sport = flow->to_dport;
  key->dport = flow->to_sport;
  key->proto = flow->key.proto;
}

// The low bits of an entry's sequence, in the answers below.
#define READY_SEQUENCE 0xffffffU

// How readily an entry gives way, over its sequence when that was judged: more is sooner, 0 is never. Over
// first, then by state, then by age. A connection that is not idle is protected, but for one that nobody's
// answers vouch for (DSR). In arithmetic, not branches: each branch would double what the verifier has to
// see.
INLINE __u64 readiness(const struct flow* flow, __u32 tick) {
  __u64 sequence = READ_ONCE(flow->sequence);
  __u64 state = flow->state & 7;
  __s64 idle = (__s32)(tick - flow->last_seen);
  idle &= ~(idle >> 63);  // another CPU may be a tick ahead
  __u64 over = (__u64)((__s64)config.flow_timeout[state] - idle) >> 63;
  __u64 recent = (__u64)(idle - (__s64)config.idle_ticks) >> 63;
  __u64 connection = (1ULL << FLOW_ESTABLISHED | 1ULL << FLOW_HALF_CLOSED) >> state & 1;
  __u64 vouched = ~(flow->flags / FLOW_DSR) & 1;
  __u64 may = ~sequence & (over | ~(connection & recent & vouched)) & 1;
  __u64 ready = (state | (0xff & -over)) << 24 | (idle & 0xffffff);
  return (ready << 24 | (sequence & READY_SEQUENCE)) & -may;
}

// The way of this set that gives way first, in the low byte, under its readiness; 0: none.
__noinline __u64 readiest(__u32 set_index, __u32 tick) {
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &set_index);
  if (!set) return 0;
  __u64 best = 0;
#pragma clang loop unroll(disable)
  for (__u32 way = 0; way < FLOW_WAYS; way++) {
    __u64 ready = readiness(&set->entry[way], tick);
    if (ready && (ready << 8 | way) > best) best = ready << 8 | way;
  }
  return best;
}

// What was written before is seen by whoever sees the entry whole.
INLINE void flow_publish(struct flow* flow) {
  __sync_lock_test_and_set(&flow->sequence,
                           flow->sequence + 1);  // unlike an addition, a full barrier on arm64
}

// Takes an entry for this key, in one of its sets, and leaves it being written: the caller fills it and calls
// flow_publish. Its index, or enum claim. Called under the lock of the key's first set.
INLINE __s64 claim_locked(const struct flow_key* key, __u64 hash, __u32 tick) {
  __u32 first = set_of(hash, false), second = set_of(hash, true);
  struct flow_set* a = bpf_map_lookup_elem(&conntrack, &first);
  struct flow_set* b = bpf_map_lookup_elem(&conntrack, &second);
  if (!a || !b) return CLAIM_FULL;
  __u8 tag = flow_tag(hash);
  if ((tags_equal(READ_ONCE(a->tags), tag) | tags_equal(READ_ONCE(b->tags), tag)) &&
      flow_find(key, hash, true))
    return CLAIM_EXISTS;
  __u64 free_a = tags_equal(READ_ONCE(a->tags), 0), free_b = tags_equal(READ_ONCE(b->tags), 0);

  struct flow_set* set = a;
  __u32 index = first, way;
  __u64 ready = 0;
  if (free_a | free_b) {
    // The first set while it is not crowded: most lookups then end there.
    if (count_marked(free_a) < FLOW_WAYS / 2 && count_marked(free_b) > count_marked(free_a)) {
      set = b;
      index = second;
    }
    way = first_marked(set == a ? free_a : free_b);
    if (set == a && free_a >> (home_way(hash) * 8) & 0x80) way = home_way(hash);
  } else {
    __u64 ready_a = readiest(first, tick), ready_b = readiest(second, tick);
    if (!(ready_a | ready_b)) return CLAIM_FULL;
    ready = ready_a;
    if (ready_b > ready_a) {
      set = b;
      index = second;
      ready = ready_b;
    }
    way = ready & (FLOW_WAYS - 1);
  }
  struct flow* flow = &set->entry[way];
  __u32 sequence = READ_ONCE(flow->sequence);
  if (sequence & 1 || __sync_val_compare_and_swap(&flow->sequence, sequence, sequence + 1) != sequence)
    return CLAIM_FULL;  // another CPU was faster in the same set
  // It may have been faster and be done: what was chosen must still be what it was.
  bool unchanged = free_a | free_b ? !*(volatile __u8*)((__u8*)&set->tags + way)
                                   : (sequence & READY_SEQUENCE) == (ready >> 8 & READY_SEQUENCE);
  if (!unchanged) {
    flow_publish(flow);
    return CLAIM_FULL;
  }
  flow->key = *key;
  flow->last_seen = tick;
  flow->state = FLOW_SYN;
  flow->packets = 0;
  flow->egress = EGRESS_UNKNOWN;
  asm volatile("" ::: "memory");
  *(volatile __u8*)((__u8*)&set->tags + way) = tag;
  return index * FLOW_WAYS + way + 1;
}

__noinline __s64 flow_claim(const struct flow_key* key, __u32 tick) {
  if (!key) return CLAIM_FULL;
  __u64 hash = hash_of(key);
  __u32 first = set_of(hash, false);
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &first);
  if (!set) return CLAIM_FULL;
  bool locked = false;
  for (__u32 i = 0; i < FLOW_LOCK_TRIES && !locked; i++)
    locked = __sync_val_compare_and_swap(&set->lock, 0, 1) == 0;
  if (!locked) return CLAIM_FULL;
  __s64 claimed = claim_locked(key, hash, tick);
  __sync_lock_test_and_set(&set->lock, 0);
  return claimed;
}

// Gives back an entry that was claimed and never published.
INLINE void flow_abandon(__u32 index) {
  __u32 set_index = (index - 1) / FLOW_WAYS, way = (index - 1) % FLOW_WAYS;
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &set_index);
  if (!set) return;
  set->entry[way].state = FLOW_FREE;
  *(volatile __u8*)((__u8*)&set->tags + way) = 0;
  flow_publish(&set->entry[way]);
}

// Frees a whole entry, for a flow that begins anew.
__noinline int flow_free(__u32 index) {
  if (!index) return 0;
  struct flow* flow = flow_at(index);
  if (!flow) return 0;
  __u32 sequence = READ_ONCE(flow->sequence);
  if (sequence & 1 || __sync_val_compare_and_swap(&flow->sequence, sequence, sequence + 1) != sequence)
    return 0;
  flow_abandon(index);
  return 1;
}

// flow_mirror: the other half's tuple is another flow's by now.
#define FLOW_OF_OTHERS (~0U)

// Copies a half's news to its other half; makes that anew from it if it is missing. Returns the other half,
// or 0.
__noinline __u32 flow_mirror(__u32 index, __u32 tick) {
  struct flow* flow = flow_at(index);
  if (!flow) return 0;
  struct flow_key key = {};
  other_way(flow, &key);
  __u64 hash = hash_of(&key);
  __u32 other_index = flow_find(&key, hash, false);
  struct flow* other;
  if (!other_index) {
    __s64 claimed = flow_claim(&key, tick);
    if (claimed <= 0) return 0;
    other_index = claimed;
    other = flow_at(other_index);
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
    return other_index;
  }
  other = flow_at(other_index);
  if (!other || !same_address(&other->to_dst, &flow->key.src) || other->to_dport != flow->key.sport ||
      !same_address(&other->to_src, &flow->key.dst) || other->to_sport != flow->key.dport)
    return FLOW_OF_OTHERS;
  other->state = flow->state;
  other->flags = (flow->flags & ~FLOW_REPLY) | (other->flags & FLOW_REPLY);
  other->last_seen = tick;
  return other_index;
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
INLINE enum seen flow_seen(struct flow* flow, __u32 index, const struct packet* p, __u32 tick) {
  __u8 flags = flow->flags;
  bool due = flow->last_seen != tick;
  __u8 state = next_state(flow->state, p, due, &flags);
  bool changed = state != flow->state || flags != flow->flags;
  flow->packets++;
  if (!changed && !due) return SEEN;
  flow->state = state;
  flow->flags = flags;
  flow->last_seen = tick;
  if (!(flags & FLOW_DSR) && flow_mirror(index, tick) == FLOW_OF_OTHERS) return SEEN_LOST;
  return due ? SEEN_DUE : SEEN;
}

#endif  // FAIRLEAD_BPF_FLOW_H_
