// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// conntrack: the flow table's protocol (maps/conntrack.h): finding, taking and freeing entries.
//
// An entry is named by its index + 1: set * FLOW_WAYS + way, plus one, so that 0 is none.
#ifndef FAIRLEAD_BPF_FLOW_TABLE_H_
#define FAIRLEAD_BPF_FLOW_TABLE_H_

#include "base.bpf.h"
#include "destination.bpf.h"
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

// Asks for a cache line that is read later, and does not wait for it.
INLINE void touch(const void* line) {
  __u64 word;
  asm volatile("%0 = *(u64 *)(%1 + 0)" : "=r"(word) : "r"(line));
}

// The entry of this key, or 0. `being_written`: one that is just being made counts too.
__noinline __u32 flow_find(const struct flow_key* key, __u64 hash, bool being_written) {
  if (!key) return 0;
  __u8 tag = flow_tag(hash);
  for (int second = 0; second < 2; second++) {
    __u32 index = set_of(hash, second);
    struct flow_tags* tags = bpf_map_lookup_elem(&flow_tags, &index);
    struct flow_set* set = bpf_map_lookup_elem(&conntrack, &index);
    if (!tags || !set) return 0;
    __u64 marks = tags_equal(READ_ONCE(tags->tags), tag);
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

// The entry that has this key, if any has and no other has its tag: mostly so, and no function is called. The
// caller compares, and asks flow_find if it is not. 0: there is none.
INLINE __u32 flow_guess(__u64 hash) {
  __u32 index = set_of(hash, false);
  __u8 tag = flow_tag(hash);
  struct flow_tags* tags = bpf_map_lookup_elem(&flow_tags, &index);
  __u64 marks = tags ? tags_equal(READ_ONCE(tags->tags), tag) : 0;
  if (!marks) {
    index = set_of(hash, true);
    tags = bpf_map_lookup_elem(&flow_tags, &index);
    marks = tags ? tags_equal(READ_ONCE(tags->tags), tag) : 0;
  }
  return marks ? index * FLOW_WAYS + first_marked(marks) + 1 : 0;
}

// Asks for the lines of the entry that a key will likely get.
INLINE void touch_place(__u64 hash) {
  __u32 index = set_of(hash, false);
  struct flow_tags* tags = bpf_map_lookup_elem(&flow_tags, &index);
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &index);
  if (!tags || !set) return;
  const struct flow* flow = &set->entry[first_marked(tags_equal(READ_ONCE(tags->tags), 0))];
  touch(&flow->key);
  touch(&flow->to_src);
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

// Its sequence, or FLOW_CHANGED: the entry is not, or no longer, this key's.
#define FLOW_CHANGED 1U
INLINE __u32 flow_read(const struct flow* flow, const struct flow_key* key, struct translation* out) {
  touch(&flow->to_src);
  __u32 sequence = READ_ONCE(flow->sequence);
  const struct flow* stable = AFTER(sequence, flow);
  if (sequence & 1 || !same_key(&stable->key, key)) return FLOW_CHANGED;
  __u8 egress = READ_ONCE(stable->egress);  // before the link addresses that it vouches for
  if (!config.strong_order) stable = AFTER(egress, stable);
  asm volatile("" ::: "memory");
  out->src = stable->to_src;
  out->dst = stable->to_dst;
  out->sport = stable->to_sport;
  out->dport = stable->to_dport;
  out->ifindex = stable->ifindex;
  __builtin_memcpy(out->dmac, stable->dmac, sizeof(out->dmac));
  __builtin_memcpy(out->smac, stable->smac, sizeof(out->smac));
  out->mtu = stable->mtu;
  out->egress = egress;
  out->flags = stable->flags;
  __u64 all = 0;
  if (!config.strong_order) {
    // All that was read, so that the sequence is read after it.
    const __u64* words = (const __u64*)out;
#pragma unroll
    for (__u32 i = 0; i < sizeof(*out) / sizeof(__u64); i++) all ^= words[i];
  }
  asm volatile("" ::: "memory");
  return READ_ONCE(AFTER(all, flow)->sequence) == sequence ? sequence : FLOW_CHANGED;
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

// Ready entries of a set: the readiest's readiness over its way, or 0.
INLINE __u64 readiest_of(__u32 set_index, __u32 tick) {
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

#define IN_SECOND_SET 0x80U

// Which entry of a key's two sets gives way first: its readiness over its way and IN_SECOND_SET, or 0.
__noinline __u64 readiest(__u64 hash) {
  __u32 tick = now_tick();
  __u64 first = readiest_of(set_of(hash, false), tick);
  __u64 second = readiest_of(set_of(hash, true), tick);
  return second > first ? second | IN_SECOND_SET : first;
}

// A store that is seen only after all before it.
INLINE void store_last(__u32* to, __u32 value) {
  if (config.strong_order) {
    asm volatile("" ::: "memory");
    *(volatile __u32*)to = value;
  } else {
    __sync_lock_test_and_set(to, value);  // unlike an addition, a full barrier on arm64
  }
}

// What was written before is seen by whoever sees the entry whole.
INLINE void flow_publish(struct flow* flow) {
  store_last(&flow->sequence, flow->sequence + 1);
}

// How packets leave, in the one word that holds it with the route's MTU: what was written before is seen by
// whoever reads this, and nothing written after by who reads what was here.
INLINE void store_egress(struct flow* flow, __u16 mtu, __u8 egress) {
  union {
    __u32 word;
    struct {
      __u16 mtu;
      __u8 egress;
      __u8 reserved;
    };
  } now = {.mtu = mtu, .egress = egress};
  store_last((__u32*)&flow->mtu, now.word);
  asm volatile("" ::: "memory");
}
WIRE_ASSERT(__builtin_offsetof(struct flow, mtu) % 4 == 0 &&
                __builtin_offsetof(struct flow, egress) == __builtin_offsetof(struct flow, mtu) + 2,
            "mtu and egress are in one word");

// Takes an entry for this key, in one of its sets, and leaves it being written: the caller fills it and calls
// flow_publish. Its index, or enum claim. Called under the lock of the key's first set.
INLINE __s64 claim_locked(const struct flow_key* key, __u64 hash) {
  __u32 index = set_of(hash, true);
  struct flow_tags* b = bpf_map_lookup_elem(&flow_tags, &index);
  __u64 tags_b = b ? READ_ONCE(b->tags) : 0;
  index = set_of(hash, false);
  struct flow_tags* tags = bpf_map_lookup_elem(&flow_tags, &index);
  if (!b || !tags) return CLAIM_FULL;
  __u64 tags_a = READ_ONCE(tags->tags);
  __u8 tag = flow_tag(hash);
  if ((tags_equal(tags_a, tag) | tags_equal(tags_b, tag)) && flow_find(key, hash, true)) return CLAIM_EXISTS;
  __u64 free = tags_equal(tags_a, 0), free_b = tags_equal(tags_b, 0);
  // The first set while it is not crowded: most lookups then end there.
  bool second = count_marked(free) < FLOW_WAYS / 2 && count_marked(free_b) > count_marked(free);
  if (second) free = free_b;
  __u64 ready = free ? 0 : readiest(hash);
  if (!(free | ready)) return CLAIM_FULL;
  if (second || ready & IN_SECOND_SET) {
    tags = b;
    index = set_of(hash, true);
  }
  __u32 way = (free ? first_marked(free) : ready) & (FLOW_WAYS - 1);
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &index);
  if (!set) return CLAIM_FULL;
  struct flow* flow = &set->entry[way];
  volatile __u8* its_tag = (__u8*)&tags->tags + way;
  __u32 sequence = READ_ONCE(flow->sequence);
  if (sequence & 1 || __sync_val_compare_and_swap(&flow->sequence, sequence, sequence + 1) != sequence)
    return CLAIM_FULL;  // another CPU was faster in the same set
  // It may have been faster and be done: what was chosen must still be what it was.
  bool unchanged = ready ? (sequence & READY_SEQUENCE) == (ready >> 8 & READY_SEQUENCE) : *its_tag == 0;
  if (!unchanged) {
    flow_publish(flow);
    return CLAIM_FULL;
  }
  flow->key = *key;
  flow->last_seen = now_tick();
  flow->state = FLOW_SYN;
  flow->packets = 0;
  flow->egress = EGRESS_UNKNOWN;
  asm volatile("" ::: "memory");
  *its_tag = tag;
  return index * FLOW_WAYS + way + 1;
}

__noinline __s64 flow_claim(const struct flow_key* key) {
  if (!key) return CLAIM_FULL;
  remember_destination(&key->dst);
  __u64 hash = hash_of(key);
  __u32 first = set_of(hash, false);
  struct flow_tags* set = bpf_map_lookup_elem(&flow_tags, &first);
  if (!set) return CLAIM_FULL;
  bool locked = false;
  for (__u32 i = 0; i < FLOW_LOCK_TRIES && !locked; i++)
    locked = __sync_val_compare_and_swap(&set->lock, 0, 1) == 0;
  if (!locked) return CLAIM_FULL;
  __s64 claimed = claim_locked(key, hash);
  store_last(&set->lock, 0);
  return claimed;
}

// Gives back an entry that was claimed and never published.
INLINE void flow_abandon(__u32 index) {
  __u32 set_index = (index - 1) / FLOW_WAYS, way = (index - 1) % FLOW_WAYS;
  struct flow_set* set = bpf_map_lookup_elem(&conntrack, &set_index);
  struct flow_tags* tags = bpf_map_lookup_elem(&flow_tags, &set_index);
  if (!set || !tags) return;
  set->entry[way].state = FLOW_FREE;
  *(volatile __u8*)((__u8*)&tags->tags + way) = 0;
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

#endif  // FAIRLEAD_BPF_FLOW_TABLE_H_
