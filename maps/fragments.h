// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// fragments: the ports of fragmented datagrams, from the first fragment for the later ones; held_fragments:
// later ones that came before it. LRU; a datagram's rows are worthless after the reassembly time (30 s).
// Writers and readers: the programs.
#ifndef FAIRLEAD_MAPS_FRAGMENTS_H_
#define FAIRLEAD_MAPS_FRAGMENTS_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct fragment_key {
  struct ip_addr src;
  struct ip_addr dst;
  __u32 id;  // of the datagram, as on the wire; IPv4: 16 bits
  __u8 proto;
  __u8 slot;  // held_fragments: 0 to HELD_FRAGMENTS - 1
  __u8 reserved[2];
};
WIRE_ASSERT(sizeof(struct fragment_key) == 40, "fragment_key has no padding");

struct fragment_ports {
  __be16 sport;
  __be16 dport;
  __u32 seen;  // tick
};
WIRE_ASSERT(sizeof(struct fragment_ports) == 8, "fragment_ports has no padding");

struct held_fragment {
  __u32 length;  // bytes of the packet from the IP header on
  __u32 seen;    // tick
  __u8 bytes[HELD_FRAGMENT_SIZE];
};
WIRE_ASSERT(sizeof(struct held_fragment) == 8 + HELD_FRAGMENT_SIZE, "held_fragment has no padding");

FAIRLEAD_TABLE(fragments, BPF_MAP_TYPE_LRU_HASH, 0, struct fragment_key, struct fragment_ports, 8192);
FAIRLEAD_TABLE(held_fragments, BPF_MAP_TYPE_LRU_HASH, 0, struct fragment_key, struct held_fragment, 256);

#endif  // FAIRLEAD_MAPS_FRAGMENTS_H_
