// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// destinations: the addresses that packets of ours may be for, as bits by hash of the address. A packet of
// TCP or UDP whose destination has no bit, and is in no ServiceCIDR, is nobody's: the programs look no
// further. A bit that is set says nothing. An address has its bit if it is in `next` or `live`; readers load
// `next` first.
//
// What has a bit: the destination of every flow entry, set by whoever makes the entry, before that; and every
// address with a role (maps/frontends.h), set by the agent before the role.
//
// Bits are cleared by the agent alone, which makes `next` anew while programs go on:
//   1 live |= next, then next = 0; a grace period, in which every program ends that set bits before
//   2 the bits of all entries and roles there are, into `next`; programs set theirs in both
//   3 live = next
// A program that comes between finds `live` to have a bit that 3 takes from it, and does not set it there:
// the bit is in `next` then, and 1 brings it back.
#ifndef FAIRLEAD_MAPS_DESTINATIONS_H_
#define FAIRLEAD_MAPS_DESTINATIONS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct destination_word {
  __u64 live;
  __u64 next;
};
WIRE_ASSERT(sizeof(struct destination_word) == 16, "destination_word has no padding");

FAIRLEAD_TABLE(destinations, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, __u32, struct destination_word,
               DESTINATION_WORDS);

// The bit of an address, given as its two halves (struct ip_addr). `keys` are the flow table's.
static inline __attribute__((always_inline)) __u32 destination_bit(__u64 high, __u64 low,
                                                                   const volatile __u64* keys) {
  __u64 h = (high ^ (high >> 32)) * keys[2] + (low ^ (low >> 32)) * keys[3];
  return (__u32)(h >> 32) & (DESTINATION_WORDS * 64U - 1);
}

#endif  // FAIRLEAD_MAPS_DESTINATIONS_H_
