// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// nat: a tuple towards the backend that no other flow has. The answers' entry in the flow table is what holds
// it, so taking the tuple and making the entry are one step.
#ifndef FAIRLEAD_BPF_NAT_H_
#define FAIRLEAD_BPF_NAT_H_

#include "base.bpf.h"
#include "flow.bpf.h"
#include "maps/nat_ports.h"

INLINE bool usable(__u16 port) {
  __u32 index = port / 64;
  struct nat_port_word* word = bpf_map_lookup_elem(&nat_ports, &index);
  return word && word->usable >> port % 64 & 1;
}

INLINE void count_tries(__u32 tries) {
  struct nat_try_count* count = bpf_map_lookup_elem(&nat_tries, &tries);
  if (count) count->flows++;
}

// Claims the entry for packets from the backend: `reply` is complete, and its dport, the source port that the
// backend sees, is the client's own. That is kept where it is free and, with `masquerade`, one that the node
// gives away; else another is drawn. The entry's index, or enum claim. A global function: its loop is
// verified once.
__noinline __s64 claim_source(struct flow_key* reply, bool masquerade) {
  if (!reply) return CLAIM_FULL;
  __u32 seed =
      (reply->src.words[3] ^ reply->dst.words[3] ^ (__u32)reply->dport << 16 ^ reply->sport) * 0x9e3779b1U ^
      now_tick();
  for (__u32 tries = 0; tries < NAT_TRIES; tries++) {
    if (tries) {
      seed = seed * 1664525U + 1013904223U;
      reply->dport = bpf_htons(1024 + (__u16)(((__u64)seed * (65536 - 1024)) >> 32));
    }
    if (masquerade && !usable(bpf_ntohs(reply->dport))) continue;
    __s64 claimed = flow_claim(reply);
    if (claimed != CLAIM_EXISTS) {
      count_tries(tries);
      return claimed;
    }
  }
  count_tries(NAT_TRIES);
  return CLAIM_EXISTS;
}

#endif  // FAIRLEAD_BPF_NAT_H_
