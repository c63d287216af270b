// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// fragment: ports for fragments that have none, from the first one of their datagram. Nothing is put
// together: each fragment is translated by itself. One that comes before the first is kept, and comes in once
// more after it.
#ifndef FAIRLEAD_BPF_FRAGMENT_H_
#define FAIRLEAD_BPF_FRAGMENT_H_

#include "base.bpf.h"
#include "flow.bpf.h"
#include "frontend.bpf.h"
#include "maps/fragments.h"
#include "packet.bpf.h"
#include "route.bpf.h"

// After so long nobody waits for the rest of a datagram (net.ipv4.ipfrag_time, RFC 8200 4.5 says 60), and its
// id may be another's.
#define REASSEMBLY_MS 30000U

#if !AT_XDP

// 1 to HELD_FRAGMENT_SIZE, as it is anyway, but so that the verifier of Linux 6.1 sees it too.
INLINE __u32 as_size(__u32 length) {
  length--;
  asm volatile("" : "+r"(length));
  return (length & (HELD_FRAGMENT_SIZE - 1)) + 1;
}

// held_fragment.length while its bytes are taken by somebody. 0: they are being written.
#define HELD_TAKEN ~0U

// A row as it is made.
static const struct held_fragment nothing_held = {};

INLINE bool is_recent(__u32 seen, __u32 tick) {
  return tick - seen <= REASSEMBLY_MS / (config.tick_ms ?: 1);
}

INLINE void key_of_datagram(const struct packet* p, struct fragment_key* key) {
  key->src = p->key.src;
  key->dst = p->key.dst;
  key->id = p->fragment_id;
  key->proto = p->key.proto;
}

__noinline int remember_ports(const struct packet* p, __u32 tick) {
  if (!p) return 0;
  struct fragment_key key = {};
  key_of_datagram(p, &key);
  struct fragment_ports ports = {.sport = p->key.sport, .dport = p->key.dport, .seen = tick};
  return bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY) == 0;
}

// Fills in the ports of a later fragment. 0: its first one is not known.
__noinline int ports_of_datagram(struct packet* p, __u32 tick) {
  if (!p) return 0;
  struct fragment_key key = {};
  key_of_datagram(p, &key);
  struct fragment_ports* ports = bpf_map_lookup_elem(&fragments, &key);
  if (!ports || !is_recent(ports->seen, tick)) return 0;
  p->key.sport = ports->sport;
  p->key.dport = ports->dport;
  return 1;
}

// Makes the row of this key the caller's to fill. NULL: it has a fragment, or there was no room.
INLINE struct held_fragment* free_row(struct fragment_key* key, __u32 tick) {
  struct held_fragment* row = bpf_map_lookup_elem(&held_fragments, key);
  if (row && (is_recent(row->seen, tick) || !row->length)) return NULL;
  if (row) bpf_map_delete_elem(&held_fragments, key);
  if (bpf_map_update_elem(&held_fragments, key, &nothing_held, BPF_NOEXIST)) return NULL;
  return bpf_map_lookup_elem(&held_fragments, key);
}

// Keeps a fragment, from the IP header on. 0: it cannot be kept; else its slot + 1.
__noinline int hold(packet_ctx* ctx, const struct packet* p, __u32 tick) {
  if (!p) return 0;
  __u32 length = p->length;
  if (length - 1 >= HELD_FRAGMENT_SIZE) return 0;
  length = as_size(length);
  struct fragment_key key = {};
  key_of_datagram(p, &key);
  for (__u32 slot = 0; slot < HELD_FRAGMENTS; slot++) {
    key.slot = slot;
    struct held_fragment* row = free_row(&key, tick);
    if (!row) continue;
    row->seen = tick;
    if (bpf_skb_load_bytes(ctx, p->l3, row->bytes, length)) {
      bpf_map_delete_elem(&held_fragments, &key);
      return 0;
    }
    __sync_lock_test_and_set(&row->length, length);  // after the bytes
    return slot + 1;
  }
  return 0;
}

enum taken { NOTHING_TAKEN, TAKEN, TAKEN_BROKEN };

// The frame becomes what `row` holds; before that, what it was comes in again. The row may be given to
// another datagram meanwhile (LRU): then it is no longer marked as taken, and the frame is worth nothing.
INLINE enum taken become(packet_ctx* ctx, struct held_fragment* row, bool whole) {
  __u32 length = READ_ONCE(row->length);
  if (length - 1 >= HELD_FRAGMENT_SIZE) return NOTHING_TAKEN;
  length = as_size(length);
  if (__sync_val_compare_and_swap(&row->length, length, HELD_TAKEN) != length) return NOTHING_TAKEN;
  if (whole) bpf_clone_redirect(ctx, device_of(ctx), BPF_F_INGRESS);
  if (bpf_skb_change_tail(ctx, ETH_HLEN + length, 0)) return TAKEN_BROKEN;
  if (bpf_skb_store_bytes(ctx, ETH_HLEN, row->bytes, length, BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH))
    return TAKEN_BROKEN;
  return READ_ONCE(row->length) == HELD_TAKEN ? TAKEN : TAKEN_BROKEN;
}

// Lets the first fragment and what was held for it come in once more, in this order: later, by the device's
// backlog. The frame is the last of them, and left to the caller. Each row is taken once, so this ends.
__noinline int release_held(packet_ctx* ctx, const struct packet* p, __u32 tick) {
  if (!p) return NOTHING_TAKEN;
  struct fragment_key key = {};
  key_of_datagram(p, &key);
  enum taken frame = NOTHING_TAKEN;
  for (__u32 slot = 0; slot < HELD_FRAGMENTS; slot++) {
    key.slot = slot;
    struct held_fragment* row = bpf_map_lookup_elem(&held_fragments, &key);
    if (!row) continue;
    if (is_recent(row->seen, tick)) {
      enum taken taken = become(ctx, row, frame != TAKEN_BROKEN);
      if (taken == NOTHING_TAKEN) continue;
      frame = taken;
    }
    bpf_map_delete_elem(&held_fragments, &key);
  }
  return frame;
}

// Takes back what was held just now. 0: somebody has released it.
__noinline int take_back(const struct packet* p, __u32 slot) {
  if (!p) return 0;
  struct fragment_key key = {.slot = slot};
  key_of_datagram(p, &key);
  struct held_fragment* row = bpf_map_lookup_elem(&held_fragments, &key);
  if (!row || __sync_val_compare_and_swap(&row->length, p->length, HELD_TAKEN) != p->length) return 0;
  return bpf_map_delete_elem(&held_fragments, &key) == 0;
}

// Whether a packet to this address may be one to translate, as far as its address tells: for a frontend, or
// an answer to a masqueraded client. Of such every first fragment is remembered and every later one without
// is held.
INLINE __u32 may_be_ours(packet_ctx* ctx, const struct packet* p) {
  __u32 roles = address_roles(&p->key.dst);
  if (roles) return roles;
  struct ip_addr address;
  return node_address(device_of(ctx), p->v6, &address) && same_address(&address, &p->key.dst) ? ADDRESS_NODE
                                                                                              : 0;
}

// A later fragment whose first one has not come.
INLINE enum verdict wait_for_first(packet_ctx* ctx, struct packet* p, __u32 tick) {
  __u32 roles = may_be_ours(ctx, p);
  if (!roles) return VERDICT_NOT_OURS;
  __u32 slot = hold(ctx, p, tick);
  if (!slot)
    return roles & ADDRESS_NODE ? VERDICT_NOT_OURS : VERDICT_DROP_FRAGMENT;  // the node may do better
  // The first one may have come on another CPU meanwhile, and found nothing held.
  bool known = ports_of_datagram(p, tick);
  return known && take_back(p, slot - 1) ? VERDICT_TRANSLATED : VERDICT_HELD_FRAGMENT;
}

// Gives a later fragment the ports of its first, and remembers those of a first. VERDICT_TRANSLATED: go on
// with the packet, whose offsets hold; else how it ends. VERDICT_NOT_OURS with `leave` set: it comes in
// again.
INLINE enum verdict fragment_ports(packet_ctx* ctx, struct packet* p, enum program program, __u32 tick,
                                   int* leave) {
  if (p->fragment == LATER_FRAGMENT) {
    if (ports_of_datagram(p, tick)) return VERDICT_TRANSLATED;
    // What the node sends is in order.
    return program == PROGRAM_EGRESS ? VERDICT_NOT_OURS : wait_for_first(ctx, p, tick);
  }
  bool ours = program != PROGRAM_EGRESS && may_be_ours(ctx, p);
  if (!ours && !flow_find(&p->key, hash_of(&p->key), false)) return VERDICT_TRANSLATED;
  remember_ports(p, tick);
  if (program == PROGRAM_EGRESS) return VERDICT_TRANSLATED;
  enum taken frame = release_held(ctx, p, tick);
  if (frame == NOTHING_TAKEN) return VERDICT_TRANSLATED;
  if (frame == TAKEN_BROKEN) return VERDICT_DROP_FRAGMENT;
  *leave = bpf_redirect(device_of(ctx), BPF_F_INGRESS);
  return VERDICT_NOT_OURS;
}

#endif  // !AT_XDP

#endif  // FAIRLEAD_BPF_FRAGMENT_H_
