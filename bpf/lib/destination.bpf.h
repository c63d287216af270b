// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The filter in front of the walk (maps/destinations.h): most packets are nobody's, and a bit of their
// destination says so.
#ifndef FAIRLEAD_BPF_DESTINATION_H_
#define FAIRLEAD_BPF_DESTINATION_H_

#include "base.bpf.h"
#include "frontend.bpf.h"
#include "maps/destinations.h"
#include "packet.bpf.h"

INLINE bool may_be_destination(__u64 high, __u64 low) {
  __u32 bit = destination_bit(high, low, config.flow_keys);
  __u32 index = bit / 64;
  struct destination_word* word = bpf_map_lookup_elem(&destinations, &index);
  if (!word) return true;
  __u64 next = READ_ONCE(word->next);  // before `live`: what leaves this one has been put into that
  if (!config.strong_order) word = AFTER(next, word);
  return (next | READ_ONCE(word->live)) >> bit % 64 & 1;
}

// Before the entry that this is the destination of is made. Mostly the bit is there.
INLINE void remember_destination(const struct ip_addr* addr) {
  __u32 bit = destination_bit(addr->halves[0], addr->halves[1], config.flow_keys);
  __u32 index = bit / 64;
  struct destination_word* word = bpf_map_lookup_elem(&destinations, &index);
  if (!word) return;
  __u64 mask = 1ULL << bit % 64;
  if (!(READ_ONCE(word->next) & mask)) __sync_fetch_and_or(&word->next, mask);
  if (!(READ_ONCE(word->live) & mask)) __sync_fetch_and_or(&word->live, mask);
}

// The lower half of an IPv4 address (struct ip_addr).
INLINE __u64 v4_half(__be32 v4) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return (__u64)v4 << 32 | IP_ADDR_V4_PREFIX;
#else
  return (__u64)IP_ADDR_V4_PREFIX << 32 | v4;
#endif
}

// Half of an IPv6 address in a packet.
INLINE __u64 v6_half(const __be32* words) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return (__u64)words[1] << 32 | words[0];
#else
  return (__u64)words[0] << 32 | words[1];
#endif
}

// A connection that begins may be one past the Service, with ports of a flow that is over (make_way in
// walk.bpf.h): then its source is a destination.
INLINE bool may_begin_connection(const void* l4, __u8 proto) {
  return proto == IPPROTO_TCP && (((const __u8*)l4)[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

INLINE bool is_nobodys(__u64 src_high, __u64 src_low, __u64 dst_high, __u64 dst_low, bool begins,
                       bool egress) {
  if (may_be_destination(dst_high, dst_low)) return false;
  if (begins && may_be_destination(src_high, src_low)) return false;
  return egress || !service_cidr_holds(dst_high, dst_low);
}

// Whole TCP and UDP packets only: what else there is has other ways to be ours. False: it takes the walk to
// know.
INLINE bool obviously_not_ours(packet_ctx* ctx, bool egress) {
  struct ethhdr* eth = data_of(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  struct ipv6hdr* ip6 = (void*)(eth + 1);
  void* end = data_end_of(ctx);
  if ((void*)(ip + 1) + sizeof(struct tcphdr) > end) return false;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) {
    __u8 proto = ip->protocol;
    if (*(__u8*)ip != 0x45 || ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) return false;
    if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) return false;
    return is_nobodys(0, v4_half(ip->saddr), 0, v4_half(ip->daddr), may_begin_connection(ip + 1, proto),
                      egress);
  }
  if (eth->h_proto != bpf_htons(ETH_P_IPV6)) return false;
  if ((void*)(ip6 + 1) + sizeof(struct tcphdr) > end || *(__u8*)ip6 >> 4 != 6) return false;
  __u8 proto = ip6->nexthdr;
  if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) return false;
  const __be32* src = (const __be32*)&ip6->saddr;
  const __be32* dst = (const __be32*)&ip6->daddr;
  return is_nobodys(v6_half(src), v6_half(src + 2), v6_half(dst), v6_half(dst + 2),
                    may_begin_connection(ip6 + 1, proto), egress);
}

#endif  // FAIRLEAD_BPF_DESTINATION_H_
