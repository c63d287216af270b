// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// frontends: what address, port and protocol belongs to which run of backends.
//
// An open-addressed hash table (linear probing) in an mmap-able array: a lookup is inlined loads and no
// helper call. Writer: the agent, alone, through mmap. Readers: the programs; fairleadctl.
//
// A slot's life (offsets are of the whole slot):
//   empty      key 0, value 0     ends a probe
//   live       key set, value set
//   dead       key set, value 0   probes go on past it; the same key may be revived by storing a value
// A value is one 8-byte word, stored last when a slot comes alive and first when it dies: a reader sees the
// old entry or the new one. A dead slot is emptied, or given to another key, only after an RCU grace period.
#ifndef FAIRLEAD_MAPS_FRONTENDS_H_
#define FAIRLEAD_MAPS_FRONTENDS_H_

#include "fairlead/flags.h"
#include "fairlead/limits.h"
#include "maps/define.h"

struct frontend_key {
  struct ip_addr
      addr;        // NodePorts: the unspecified address of the family stands for every address of the node
  __be16 port;     // 0 with SCOPE_ADDRESS
  __u8 proto;      // IPPROTO_*; 0 with SCOPE_ADDRESS
  __u8 scope;      // enum frontend_scope
  __u32 reserved;  // 0
};
WIRE_ASSERT(sizeof(struct frontend_key) == 24, "frontend_key has no hidden padding");

struct frontend {
  __u32 offset;    // of the run's head in `backends`; address roles with SCOPE_ADDRESS
  __u16 count;     // backends to choose from; 0: reject or drop, see flags
  __u8 algorithm;  // enum frontend_algorithm
  __u8 flags;      // enum frontend_flag
} __attribute__((aligned(8)));
WIRE_ASSERT(sizeof(struct frontend) == 8, "a frontend flips with one store");

struct frontend_slot {
  struct ip_addr addr;  // the key's first 20 bytes, in its order
  __be16 port;
  __u8 proto;
  __u8 scope;
  __u32 service_id;  // for people and tools, as of the last flip; programs read the run's
  struct frontend value;
};
WIRE_ASSERT(sizeof(struct frontend_slot) == 32, "two slots a cache line");

FAIRLEAD_TABLE(frontends, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct frontend_slot, 1024);

// Where a key's probe begins, before the mask. Two rounds of multiply and fold over the key's 20 bytes.
static inline __attribute__((always_inline)) __u32 frontend_hash(const struct frontend_key* key, __u64 seed) {
  __u64 rest = (__u64)key->port << 16 | (__u64)key->proto << 8 | key->scope;
  __u64 h = (key->addr.halves[0] ^ seed) * 0x9e3779b97f4a7c15ULL;
  h ^= h >> 32;
  h = (h ^ key->addr.halves[1]) * 0xd6e8feb86659fd93ULL;
  h ^= h >> 32;
  h = (h ^ rest) * 0xff51afd7ed558ccdULL;
  return (__u32)(h >> 32);
}

#endif  // FAIRLEAD_MAPS_FRONTENDS_H_
