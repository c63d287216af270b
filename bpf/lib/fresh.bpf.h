// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A packet of the node's own in place of one that came in: room for it, its headers, and back to where that
// came from. Slow paths, and few: global functions, so that they are verified once and do not share the
// walk's frame.
#ifndef FAIRLEAD_BPF_FRESH_H_
#define FAIRLEAD_BPF_FRESH_H_

#include "base.bpf.h"
#include "packet.bpf.h"
#include "rewrite.bpf.h"

#define FRESH_TTL 64
#define IP_DONT_FRAGMENT 0x4000
#define TOS_NETWORK_CONTROL 0xc0  // of ICMP errors (RFC 1812 4.3.2.5)

// What an ICMP error quotes at most, from the IP header on: so that it is no longer than what every link
// takes (RFC 1812 4.3.2.3, RFC 4443 2.4).
#define QUOTED_MAX_V4 (576U - sizeof(struct iphdr) - sizeof(struct icmp_header))
#define QUOTED_MAX_V6 (1280U - sizeof(struct ipv6hdr) - sizeof(struct icmp_header))

#if !AT_XDP

// Bytes that are taken out in front of the new packet, behind the link header. They reach past the start of
// layer 4: a checksum that a device was to complete from there on is then forgotten (skb_postpull_rcsum), and
// what is written here leaves as it is. Fours keep headers aligned.
INLINE __u32 taken_out(const struct packet* p) {
  return (p->l4 + 4U) & ~3U;
}

// Cuts the frame down to `kept` bytes and adds zeros until there are `size` behind those to be taken out.
// Cutting makes one packet of many segments; growing forgets the sum that a device gave for all of it
// (__skb_grow_rcsum); after both the frame is linear. Packet pointers are void.
INLINE bool make_room(packet_ctx* ctx, const struct packet* p, __u32 kept, __u32 size) {
  return bpf_skb_change_tail(ctx, kept, 0) == 0 && bpf_skb_change_tail(ctx, taken_out(p) + size, 0) == 0;
}

INLINE bool take_out(packet_ctx* ctx, const struct packet* p) {
  return bpf_skb_adjust_room(ctx, -(__s32)taken_out(p), BPF_ADJ_ROOM_MAC, 0) == 0;
}

INLINE __u32 ip_header_size(const struct packet* p) {
  return p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

// An IP header from the address that `p` was for to its sender, behind the link header. `size`: of what
// follows.
INLINE bool write_ip(packet_ctx* ctx, const struct packet* p, __u8 proto, __u32 size, __u8 tos) {
  __be32* words = header_at(ctx, ETH_HLEN);
  void* end = data_end_of(ctx);
  if (p->v6) {
    struct ipv6hdr* ip = (void*)words;
    if ((void*)(ip + 1) > end) return false;
    words[0] = bpf_htonl(6U << 28);
    words[1] = bpf_htonl(size << 16 | (__u32)proto << 8 | FRESH_TTL);
    __builtin_memcpy(&ip->saddr, &p->key.dst, sizeof(ip->saddr));
    __builtin_memcpy(&ip->daddr, &p->key.src, sizeof(ip->daddr));
    return true;
  }
  struct iphdr* ip = (void*)words;
  if ((void*)(ip + 1) > end) return false;
  words[0] = bpf_htonl(0x45U << 24 | (__u32)tos << 16 | (size + sizeof(*ip)));
  words[1] = bpf_htonl(IP_DONT_FRAGMENT);
  words[2] = bpf_htonl(FRESH_TTL << 24 | (__u32)proto << 16);
  words[3] = p->key.dst.words[3];
  words[4] = p->key.src.words[3];
  ip->check = ~fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]);
  return true;
}

// The sum of the pseudo header; either direction has the same.
INLINE __u64 pseudo_header_sum(const struct packet* p, __u8 proto, __u32 size) {
  const __u32* src = p->key.src.words;
  const __u32* dst = p->key.dst.words;
  __u64 sum = (__u64)src[3] + dst[3] + bpf_htonl(size) + bpf_htonl(proto);
  if (p->v6) sum += (__u64)src[0] + src[1] + src[2] + dst[0] + dst[1] + dst[2];
  return sum;
}

// The packet becomes a reset of its connection, which does not exist (RFC 9293 3.10.7.1). 0: it cannot.
__noinline int make_reset(packet_ctx* ctx, const struct packet* p) {
  if (!p) return 0;
  struct tcphdr* had = header_at(ctx, p->l4);
  if ((void*)(had + 1) > data_end_of(ctx)) return 0;
  __u32 length = p->length ? p->length : ctx->len - p->l3;
  __u32 headers = p->l4 - p->l3 + had->doff * 4U;
  if (headers > length) return 0;
  bool acknowledges = had->ack;
  __be32 seq = acknowledges ? had->ack_seq : 0;
  __be32 ack_seq = bpf_htonl(bpf_ntohl(had->seq) + length - headers + had->syn + had->fin);

  __u32 ip_size = ip_header_size(p);
  if (!make_room(ctx, p, p->l4 + sizeof(struct tcphdr), ETH_HLEN + ip_size + sizeof(struct tcphdr))) return 0;
  if (!take_out(ctx, p) || !write_ip(ctx, p, IPPROTO_TCP, sizeof(struct tcphdr), 0)) return 0;
  struct tcphdr* tcp = header_at(ctx, ETH_HLEN + ip_size);
  if ((void*)(tcp + 1) > data_end_of(ctx)) return 0;
  __be32* words = (void*)tcp;
  tcp->source = p->key.dport;
  tcp->dest = p->key.sport;
  words[1] = seq;
  words[2] = acknowledges ? 0 : ack_seq;
  words[3] = bpf_htonl(5U << 28 | (__u32)(acknowledges ? TCP_RST : TCP_RST | TCP_ACK) << 16);
  words[4] = 0;
  __u64 sum = pseudo_header_sum(p, IPPROTO_TCP, sizeof(*tcp));
  tcp->check = ~fold(sum + words[0] + words[1] + words[2] + words[3]);
  return 1;
}

#define NOT_MOVED ~0ULL

// Moves what an ICMP error quotes to behind the headers that it gets: its sum, or NOT_MOVED. From its end:
// old place and new one overlap.
__noinline __u64 move_quoted(packet_ctx* ctx, __u32 words, __u32 distance) {
  __u64 sum = 0;
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < QUOTED_MAX_V6 / 4; i++) {
    if (i >= words) break;
    __u32 at = ETH_HLEN + (words - 1 - i) * 4;
    __u32* from = header_at(ctx, at);
    __u32* to = header_at(ctx, at + distance);
    void* end = data_end_of(ctx);
    if ((void*)(from + 1) > end || (void*)(to + 1) > end) return NOT_MOVED;
    __u32 word = *from;
    *to = word;
    sum += word;
  }
  return sum;
}

// The packet becomes an ICMP error about itself. `kind` is type << 8 | code, `rest` the word after them. 0:
// it cannot.
__noinline int make_icmp_error(packet_ctx* ctx, const struct packet* p, __u32 kind, __u32 rest) {
  if (!p || p->l4 > HEADERS_MAX) return 0;
  __u32 headers = ip_header_size(p) + sizeof(struct icmp_header);
  __u32 most = p->v6 ? QUOTED_MAX_V6 : QUOTED_MAX_V4;
  __u32 quoted = ctx->len - ETH_HLEN;
  if (p->length && p->length < quoted) quoted = p->length;  // else: Ethernet's padding
  if (quoted > most) quoted = most;
  __u32 words = (quoted + 3) / 4;  // the last one with zeros
  if (!make_room(ctx, p, ETH_HLEN + quoted, ETH_HLEN + headers + words * 4)) return 0;

  __u32 size = quoted + sizeof(struct icmp_header);
  __u64 sum = move_quoted(ctx, words, taken_out(p) + headers);
  if (sum == NOT_MOVED || !take_out(ctx, p)) return 0;
  sum += (__u64)bpf_htonl(kind << 16) + bpf_htonl(rest);
  if (p->v6) sum += pseudo_header_sum(p, IPPROTO_ICMPV6, size);
  if (!write_ip(ctx, p, p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, size, TOS_NETWORK_CONTROL)) return 0;
  struct icmp_header* icmp = header_at(ctx, ETH_HLEN + ip_header_size(p));
  if ((void*)(icmp + 1) > data_end_of(ctx)) return 0;
  icmp->type = kind >> 8;
  icmp->code = kind;
  icmp->checksum = ~fold(sum);
  icmp->rest = bpf_htonl(rest);
  return bpf_skb_change_tail(ctx, ETH_HLEN + headers + quoted, 0) == 0;
}

// The echo request becomes its reply; of a later fragment only the IP header changes. 0: it cannot.
__noinline int make_echo_reply(packet_ctx* ctx, const struct packet* p) {
  if (!p) return 0;
  if (p->fragment != LATER_FRAGMENT) {
    __u8 type = p->v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY;
    __u16 diff = fold(sum_diff(bpf_htons((__u16)p->icmp_type << 8), bpf_htons((__u16)type << 8)));
    if (bpf_l4_csum_replace(ctx, p->l4 + __builtin_offsetof(struct icmp_header, checksum), 0, diff, 0))
      return 0;
    struct icmp_header* icmp = header_at(ctx, p->l4);
    if ((void*)(icmp + 1) > data_end_of(ctx)) return 0;
    icmp->type = type;
  }
  void* end = data_end_of(ctx);
  if (!p->v6) {
    struct iphdr* ip = header_at(ctx, p->l3);
    if ((void*)(ip + 1) > end) return 0;
    ip->saddr = p->key.dst.words[3];
    ip->daddr = p->key.src.words[3];
    ip->check =
        checksum_after(ip->check, sum_diff(bpf_htons((__u16)ip->ttl << 8), bpf_htons(FRESH_TTL << 8)));
    ip->ttl = FRESH_TTL;
    return 1;
  }
  struct ipv6hdr* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 1) > end) return 0;
  __builtin_memcpy(&ip->saddr, &p->key.dst, sizeof(ip->saddr));
  __builtin_memcpy(&ip->daddr, &p->key.src, sizeof(ip->daddr));
  __u64 diff = sum_diff(bpf_htons(ip->hop_limit), bpf_htons(FRESH_TTL));
  ip->hop_limit = FRESH_TTL;
  bpf_csum_update(ctx, fold(diff));  // of a device's sum; refused where there is none
  return 1;
}

// Back by the device it came in by, or, on the way out, in again, to the node's own stack; to the link
// address it came from. How the program leaves.
INLINE int turn_back(packet_ctx* ctx, enum program program) {
  struct ethhdr* eth = data_of(ctx);
  if ((void*)(eth + 1) > data_end_of(ctx)) return LEAVE_DROP;
  __u8 sender[6];
  __builtin_memcpy(sender, eth->h_source, sizeof(sender));
  __builtin_memcpy(eth->h_source, eth->h_dest, sizeof(eth->h_source));
  __builtin_memcpy(eth->h_dest, sender, sizeof(eth->h_dest));
  return bpf_redirect(device_of(ctx), program == PROGRAM_EGRESS ? BPF_F_INGRESS : 0);
}

#endif  // !AT_XDP

#endif  // FAIRLEAD_BPF_FRESH_H_
