// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// find: from an address, port and protocol to a frontend. Inlined array loads only, no helper call.
#ifndef FAIRLEAD_BPF_FRONTEND_H_
#define FAIRLEAD_BPF_FRONTEND_H_

#include "base.bpf.h"
#include "maps/frontends.h"
#include "maps/service_cidrs.h"

// The word of exactly this key's live slot, or 0. A global function: the verifier walks its probes once, for
// every caller, instead of once on each caller's path.
__noinline __u64 frontend_word(const struct frontend_key* key) {
  if (!key) return 0;
  const __u32* want = (const __u32*)key;
  __u32 first = frontend_hash(key, config.hash_seed);

  for (__u32 probe = 0; probe < FRONTEND_PROBES; probe++) {
    __u32 index = (first + probe) & config.frontend_mask;
    struct frontend_slot* slot = bpf_map_lookup_elem(&frontends, &index);
    if (!slot) return 0;
    __u64 word = READ_ONCE(*(__u64*)&slot->value);
    const __u32* have = (const __u32*)AFTER(word, slot);
    if (!word) {
      if (!have[4]) return 0;  // empty: no key ever went past here
      continue;                // dead
    }
    if (have[4] == want[4] && have[3] == want[3] && have[2] == want[2] && have[1] == want[1] &&
        have[0] == want[0])
      return word;
  }
  return 0;
}

// The frontend of exactly this key. Its flags are 0 if there is none (a live one has FRONTEND_LIVE).
INLINE struct frontend frontend_get(const struct frontend_key* key) {
  union {
    __u64 word;
    struct frontend frontend;
  } value = {.word = frontend_word(key)};
  return value.frontend;
}

// The same for the packet path, where a call costs as much as the rest: the first probe, which mostly is the
// last, is made without one.
INLINE struct frontend frontend_near(const struct frontend_key* key) {
  union {
    __u64 word;
    struct frontend frontend;
  } value = {};
  const __u32* want = (const __u32*)key;
  __u32 index = frontend_hash(key, config.hash_seed) & config.frontend_mask;
  struct frontend_slot* slot = bpf_map_lookup_elem(&frontends, &index);
  if (!slot) return value.frontend;
  value.word = READ_ONCE(*(__u64*)&slot->value);
  const __u32* have = (const __u32*)AFTER(value.word, slot);
  if (!value.word && !have[4]) return value.frontend;
  bool same = have[4] == want[4] && have[3] == want[3] && have[2] == want[2] && have[1] == want[1] &&
              have[0] == want[0];
  if (!value.word || !same) value.word = frontend_word(key);
  return value.frontend;
}

// What is known of an address as a whole: bits of enum address_role.
INLINE __u32 address_roles(const struct ip_addr* addr) {
  struct frontend_key key = {.addr = *addr, .scope = SCOPE_ADDRESS};
  struct frontend entry = frontend_get(&key);
  return entry.flags ? entry.offset : 0;
}

// The NodePort frontend of this port on any address of the node, in the family of `addr`.
INLINE struct frontend nodeport_get(const struct ip_addr* addr, __be16 port, __u8 proto) {
  struct frontend_key key = {.port = port, .proto = proto, .scope = SCOPE_CLUSTER};
  if (is_ipv4(addr)) key.addr.words[2] = IP_ADDR_V4_PREFIX;
  return frontend_get(&key);
}

// Of an address by its halves.
INLINE bool service_cidr_holds(__u64 high, __u64 low) {
  for (__u32 i = 0; i < SERVICE_CIDRS_MAX; i++) {
    __u32 index = i;
    struct service_cidr* cidr = bpf_map_lookup_elem(&service_cidrs, &index);
    if (!cidr || !READ_ONCE(cidr->in_use)) return false;
    if ((high & cidr->mask.halves[0]) == cidr->base.halves[0] &&
        (low & cidr->mask.halves[1]) == cidr->base.halves[1])
      return true;
  }
  return false;
}

INLINE bool in_service_cidr(const struct ip_addr* addr) {
  return service_cidr_holds(addr->halves[0], addr->halves[1]);
}

#endif  // FAIRLEAD_BPF_FRONTEND_H_
