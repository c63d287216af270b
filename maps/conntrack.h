// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// conntrack: the flows of the packet path. A set-associative hash table in two mmap-able arrays: a set is 8
// entries of two cache lines, and in flow_tags a byte for each; a key may be in either of two sets. The tags
// are apart so that those of a large table still fit a CPU's caches: where a key is, or that it is nowhere,
// costs no miss, and an entry one.
//
// A flow has two entries, one for each direction. Each holds its own tuple and what becomes of it, so each is
// enough to rebuild the other: the key of the other is {to_dst, to_src}, its translation {dst, src}.
//
// Writers: the programs, on any CPU; the agent's collector. Readers: the same, fairleadctl.
//   taking an entry   compare-and-swap of `sequence` from even to odd; then key and state, then its tag; the
//                     rest before or after that; then sequence + 1. Who finds it odd leaves it alone.
//   inserting a key   under `lock` of the key's first set, so that one key is never in the table twice.
//   reading           sequence, fields, sequence again: equal and even, or there was nothing.
//   freeing           under the sequence as above: tag 0, state FLOW_FREE.
// last_seen and the route of an entry are stored without taking it. Of the route, link addresses are written
// only while `egress` is not EGRESS_DEVICE, and it becomes that last; who reads them has read it before.
// State and flags change by compare-and-swap of the one word that holds them, since both directions write
// them.
#ifndef FAIRLEAD_MAPS_CONNTRACK_H_
#define FAIRLEAD_MAPS_CONNTRACK_H_

#include "fairlead/flags.h"
#include "fairlead/limits.h"
#include "maps/define.h"

struct flow_key {
  struct ip_addr src;
  struct ip_addr dst;
  __be16 sport;
  __be16 dport;
  __u8 proto;  // IPPROTO_TCP or IPPROTO_UDP
  __u8 reserved[3];
};
WIRE_ASSERT(sizeof(struct flow_key) == 40, "flow_key has no hidden padding");

struct flow {
  struct flow_key key;  // as the packet comes in
  __u32 sequence;       // odd: being written
  __u32 last_seen;      // ticks (struct fairlead_config)
  __u8 state;           // enum flow_state; both directions have the same
  __u8 flags;           // enum flow_flag
  __u8 reserved[2];
  __u32 service_id;
  __u32 backend_id;
  __u32 packets;  // in this direction; wraps

  struct ip_addr to_src;  // as the packet goes out
  struct ip_addr to_dst;
  __be16 to_sport;
  __be16 to_dport;
  __u32 ifindex;  // EGRESS_DEVICE, EGRESS_NEIGH, EGRESS_PEER
  __u8 dmac[6];   // EGRESS_DEVICE
  __u8 smac[6];
  __u16 mtu;    // of the route, bytes of IP packet; 0: not known
  __u8 egress;  // enum flow_egress
  __u8 reserved2;
  __u32 reserved3[2];
};
WIRE_ASSERT(sizeof(struct flow) == 128, "a flow entry is two cache lines");

struct flow_set {
  struct flow entry[FLOW_WAYS];
};
WIRE_ASSERT(sizeof(struct flow_set) == 128 * FLOW_WAYS, "flow_set has no hidden padding");

struct flow_tags {
  __u64 tags;  // byte i: tag of entry i, never 0 for one in use
  __u32 lock;  // 1: a key whose first set this is is being inserted
  __u32 reserved;
};
WIRE_ASSERT(sizeof(struct flow_tags) == 16, "four sets a cache line");

// Of the same number of elements.
FAIRLEAD_TABLE(conntrack, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct flow_set, 64);
FAIRLEAD_TABLE(flow_tags, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct flow_tags, 64);

// Multilinear: independent products, so that they overlap, and one fold.
static inline __attribute__((always_inline)) __u64 flow_hash(const struct flow_key* key,
                                                             const volatile __u64* keys) {
  __u64 ports = (__u64)key->sport << 32 | (__u64)key->dport << 8 | key->proto;
  __u64 h = (key->src.halves[0] ^ (key->src.halves[0] >> 32)) * keys[0];
  h += (key->src.halves[1] ^ (key->src.halves[1] >> 32)) * keys[1];
  h += (key->dst.halves[0] ^ (key->dst.halves[0] >> 32)) * keys[2];
  h += (key->dst.halves[1] ^ (key->dst.halves[1] >> 32)) * keys[3];
  h += (ports ^ (ports >> 32)) * keys[4];
  h ^= h >> 32;
  h *= keys[5];
  return h ^ (h >> 29);
}

// A key's two sets: from bits that have little to do with each other, and with the tag.
static inline __attribute__((always_inline)) __u32 flow_first_set(__u64 hash, __u32 mask) {
  return (__u32)hash & mask;
}
static inline __attribute__((always_inline)) __u32 flow_second_set(__u64 hash, __u32 mask) {
  return (__u32)(hash >> 24) & mask;
}

// The top byte, where 0 becomes 1.
static inline __attribute__((always_inline)) __u8 flow_tag(__u64 hash) {
  __u8 tag = (__u8)(hash >> 56);
  return tag ? tag : 1;
}

#endif  // FAIRLEAD_MAPS_CONNTRACK_H_
