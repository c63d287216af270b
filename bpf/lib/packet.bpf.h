// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// dissect: from the bytes of a frame to what the walk needs of it. Nothing is changed.
#ifndef FAIRLEAD_BPF_PACKET_H_
#define FAIRLEAD_BPF_PACKET_H_

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "base.bpf.h"
#include "maps/conntrack.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff

#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AUTH 51
#define NEXTHDR_DEST 60

// linux/icmp.h wants headers of the C library.
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

struct icmp_header {  // of both versions
  __u8 type;
  __u8 code;
  __u16 checksum;
  __be32 rest;
};

enum fragment_part { NOT_FRAGMENTED, FIRST_FRAGMENT, LATER_FRAGMENT };

// Offsets are from the start of the frame. Ports are 0 where the protocol has none, and in a later fragment
// until they are looked up.
struct packet {
  struct flow_key key;  // as on the wire; proto is any protocol
  __u32 fragment_id;    // as on the wire
  __u32 length;         // of the IP packet
  __u16 l3;
  __u16 l4;
  __u8 v6;
  __u8 tcp_flags;
  __u8 fragment;  // enum fragment_part
  __u8 icmp_type;
};

enum dissected {
  DISSECT_OK,
  DISSECT_NOT_IP,
  DISSECT_SHORT,      // readable bytes end early; more of the packet may be pulled
  DISSECT_MALFORMED,  // addresses are known, but what follows contradicts itself
};

// Bytes that hold the headers of any packet that is served, and of one that an ICMP error quotes.
#define HEADERS_MAX 512U
// Where headers may be at all; the verifier wants a bound that it can see.
#define HEADER_OFFSET_MASK 0x7ffU

// A place in the frame; check against data_end_of before use.
INLINE void* header_at(packet_ctx* ctx, __u32 offset) {
  asm volatile("" : "+r"(offset));  // else the mask is folded away
  return data_of(ctx) + (offset & HEADER_OFFSET_MASK);
}

INLINE void map_ipv4(struct ip_addr* addr, __be32 v4) {
  addr->words[0] = 0;
  addr->words[1] = 0;
  addr->words[2] = IP_ADDR_V4_PREFIX;
  addr->words[3] = v4;
}

INLINE void copy_ipv6(struct ip_addr* addr, const struct in6_addr* v6) {
  const __u32* words = (const __u32*)v6;
  addr->words[0] = words[0];
  addr->words[1] = words[1];
  addr->words[2] = words[2];
  addr->words[3] = words[3];
}

// Ports, flags, ICMP type: what of layer 4 counts. `p->l4` is set.
INLINE enum dissected dissect_l4(packet_ctx* ctx, struct packet* p) {
  if (p->fragment == LATER_FRAGMENT) return DISSECT_OK;
  __u32 header = p->key.proto == IPPROTO_TCP   ? sizeof(struct tcphdr)
                 : p->key.proto == IPPROTO_UDP ? sizeof(struct udphdr)
                                               : 0;
  if (p->length && p->l4 - p->l3 + header > p->length) return DISSECT_MALFORMED;
  void* l4 = header_at(ctx, p->l4);
  void* end = data_end_of(ctx);
  switch (p->key.proto) {
    case IPPROTO_TCP: {
      struct tcphdr* tcp = l4;
      if ((void*)(tcp + 1) > end) return DISSECT_SHORT;
      if (tcp->doff < 5) return DISSECT_MALFORMED;
      p->key.sport = tcp->source;
      p->key.dport = tcp->dest;
      p->tcp_flags = ((__u8*)tcp)[13];
      return DISSECT_OK;
    }
    case IPPROTO_UDP: {
      struct udphdr* udp = l4;
      if ((void*)(udp + 1) > end) return DISSECT_SHORT;
      p->key.sport = udp->source;
      p->key.dport = udp->dest;
      return DISSECT_OK;
    }
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: {
      struct icmp_header* icmp = l4;
      if ((void*)(icmp + 1) > end) return DISSECT_SHORT;
      p->icmp_type = icmp->type;
      return DISSECT_OK;
    }
    default:
      return DISSECT_OK;
  }
}

INLINE enum dissected dissect_ipv4(packet_ctx* ctx, struct packet* p) {
  struct iphdr* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 1) > data_end_of(ctx)) return DISSECT_SHORT;
  map_ipv4(&p->key.src, ip->saddr);
  map_ipv4(&p->key.dst, ip->daddr);
  p->key.proto = ip->protocol;
  p->length = bpf_ntohs(ip->tot_len);
  __u32 header = ip->ihl * 4;
  p->l4 = p->l3 + header;
  if (ip->version != 4 || header < sizeof(*ip)) return DISSECT_MALFORMED;
  if (p->length < header && p->length) return DISSECT_MALFORMED;  // 0: larger than 64 KiB (BIG TCP)
  __u16 fragment = bpf_ntohs(ip->frag_off);
  if (fragment & (IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) {
    p->fragment = fragment & IP_OFFSET_MASK ? LATER_FRAGMENT : FIRST_FRAGMENT;
    p->fragment_id = ip->id;
  }
  return dissect_l4(ctx, p);
}

struct extension_header {
  __u8 next;
  __u8 length;  // of 8 bytes, the first 8 not counted; of 4 bytes with AH
};
struct fragment_header {
  __u8 next;
  __u8 reserved;
  __be16 offset;  // in 8 bytes, << 3; bit 0: more follow
  __be32 id;
};

INLINE enum dissected dissect_ipv6(packet_ctx* ctx, struct packet* p) {
  struct ipv6hdr* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 1) > data_end_of(ctx)) return DISSECT_SHORT;
  copy_ipv6(&p->key.src, &ip->saddr);
  copy_ipv6(&p->key.dst, &ip->daddr);
  p->length = bpf_ntohs(ip->payload_len);
  if (p->length) p->length += sizeof(*ip);
  p->l4 = p->l3 + sizeof(*ip);
  p->key.proto = ip->nexthdr;
  if (ip->version != 6) return DISSECT_MALFORMED;

  for (__u32 i = 0; i <= EXTENSION_HEADERS_MAX; i++) {
    __u8 proto = p->key.proto;
    if (p->l4 > HEADERS_MAX) return DISSECT_MALFORMED;
    if (proto != NEXTHDR_HOP && proto != NEXTHDR_ROUTING && proto != NEXTHDR_DEST && proto != NEXTHDR_AUTH &&
        proto != NEXTHDR_FRAGMENT)
      return dissect_l4(ctx, p);
    if (i == EXTENSION_HEADERS_MAX) break;
    struct fragment_header* extension = header_at(ctx, p->l4);
    if ((void*)(extension + 1) > data_end_of(ctx)) return DISSECT_SHORT;
    p->key.proto = extension->next;
    if (proto == NEXTHDR_FRAGMENT) {
      __u16 offset = bpf_ntohs(extension->offset);
      p->l4 += sizeof(*extension);
      if (offset & ~6) {  // neither the first nor followed: an atomic fragment is whole
        p->fragment = offset & ~7 ? LATER_FRAGMENT : FIRST_FRAGMENT;
        p->fragment_id = extension->id;
        if (p->fragment == LATER_FRAGMENT) return DISSECT_OK;
      }
    } else {
      __u32 length = ((struct extension_header*)extension)->length;
      p->l4 += proto == NEXTHDR_AUTH ? (length + 2) * 4 : (length + 1) * 8;
    }
  }
  return DISSECT_MALFORMED;
}

// Fills `p` (zero before): enum dissected. A global function, so that what follows is verified once, and not
// for every kind of packet there is.
__noinline int dissect(packet_ctx* ctx, struct packet* p) {
  if (!p) return DISSECT_NOT_IP;
  struct ethhdr* eth = data_of(ctx);
  if ((void*)(eth + 1) > data_end_of(ctx)) return DISSECT_NOT_IP;
  p->l3 = sizeof(*eth);
  if (eth->h_proto == bpf_htons(ETH_P_IP)) return dissect_ipv4(ctx, p);
  if (eth->h_proto != bpf_htons(ETH_P_IPV6)) return DISSECT_NOT_IP;
  p->v6 = 1;
  return dissect_ipv6(ctx, p);
}

// TCP or UDP, whole, without options or extension headers: what most packets are, and no call. False:
// anything else, `p` is not filled. The protocol is read again rather than kept, so that the verifier, which
// knows what it was compared with, does not follow the rest of the walk once for each.
INLINE bool dissect_plain(packet_ctx* ctx, struct packet* p) {
  struct ethhdr* eth = data_of(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  struct ipv6hdr* ip6 = (void*)(eth + 1);
  void* end = data_end_of(ctx);
  if ((void*)(ip + 1) + sizeof(struct tcphdr) > end) return false;
  __u8* l4 = (void*)(ip + 1);
  __u8 proto;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) {
    if (*(__u8*)ip != 0x45 || ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) return false;
    proto = ip->protocol;
    p->length = bpf_ntohs(ip->tot_len);
    p->l4 = sizeof(*eth) + sizeof(*ip);
    p->v6 = 0;
    map_ipv4(&p->key.src, ip->saddr);
    map_ipv4(&p->key.dst, ip->daddr);
    p->key.proto = READ_ONCE(ip->protocol);
  } else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
    l4 = (void*)(ip6 + 1);
    if (l4 + sizeof(struct tcphdr) > (__u8*)end || *(__u8*)ip6 >> 4 != 6) return false;
    proto = ip6->nexthdr;
    p->length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
    p->l4 = sizeof(*eth) + sizeof(*ip6);
    p->v6 = 1;
    copy_ipv6(&p->key.src, &ip6->saddr);
    copy_ipv6(&p->key.dst, &ip6->daddr);
    p->key.proto = READ_ONCE(ip6->nexthdr);
  } else {
    return false;
  }
  if (p->length < p->l4 - sizeof(*eth) + sizeof(struct tcphdr)) return false;  // short ones have all judged
  p->tcp_flags = 0;
  if (proto == IPPROTO_TCP) {
    if (l4[12] < 5 << 4) return false;
    p->tcp_flags = l4[13];
  } else if (proto != IPPROTO_UDP) {
    return false;
  }
  p->key.sport = ((__be16*)l4)[0];
  p->key.dport = ((__be16*)l4)[1];
  __builtin_memset(p->key.reserved, 0, sizeof(p->key.reserved));
  p->fragment_id = 0;
  p->l3 = sizeof(*eth);
  p->fragment = NOT_FRAGMENTED;
  p->icmp_type = 0;
  return true;
}

#endif  // FAIRLEAD_BPF_PACKET_H_
