// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// rewrite: other addresses and ports in a packet, and checksums that stay right: by the difference (RFC
// 1624), so that a packet that came in broken leaves broken.
#ifndef FAIRLEAD_BPF_REWRITE_H_
#define FAIRLEAD_BPF_REWRITE_H_

#include "base.bpf.h"
#include "flow.bpf.h"
#include "packet.bpf.h"

// Sums of 16-bit words in network order, kept in 64 bits and folded at the end (RFC 1071).
INLINE __u64 sum_diff(__u32 from, __u32 to) {
  return (__u64)(__u32)~from + to;
}
INLINE __u64 sum_diff_addr(const struct ip_addr* from, const struct ip_addr* to, bool v6) {
  __u64 sum = sum_diff(from->words[3], to->words[3]);
  if (v6) {
    sum += sum_diff(from->words[0], to->words[0]) + sum_diff(from->words[1], to->words[1]);
    sum += sum_diff(from->words[2], to->words[2]);
  }
  return sum;
}
INLINE __u16 fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  __u32 half = (sum & 0xffff) + (sum >> 16);
  half = (half & 0xffff) + (half >> 16);
  return half;
}
// A checksum field after the bytes it covers changed by `diff`.
INLINE __u16 checksum_after(__u16 field, __u64 diff) {
  return ~fold((__u64)(__u16)~field + diff);
}

// What a rewrite changes in sums.
struct diff {
  __u64 addresses;
  __u64 ports;
};

// Layer 4, at `p->l4`: ports and checksum. False: the packet ends before them.
INLINE bool rewrite_l4(packet_ctx* ctx, const struct packet* p, const struct translation* to,
                       struct diff diff) {
  if (p->fragment == LATER_FRAGMENT) {
#if !AT_XDP
    // No checksum here makes up for the addresses in a device's sum over the packet. Refused where there is
    // none.
    if (p->v6) bpf_csum_update(ctx, fold(diff.addresses));
#endif
    return true;
  }
  bool udp = p->key.proto == IPPROTO_UDP;
  __u8 kind = checksum_kind(ctx);
  if (kind == CHECKSUM_BY_HELPER) {
#if !AT_XDP
    __u32 check_offset =
        udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check);
    __u32 offset = p->l4 + check_offset;
    __u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;
    bpf_l4_csum_replace(ctx, offset, 0, fold(diff.ports), flags);
    bpf_l4_csum_replace(ctx, offset, 0, fold(diff.addresses), flags | BPF_F_PSEUDO_HDR);
    // That takes the addresses out of a sum beside the packet; of IPv6 they are in it, and cancel out.
    if (p->v6) bpf_csum_update(ctx, fold(diff.addresses));
#endif
  }
  __be16* ports = header_at(ctx, p->l4);
  void* end = data_end_of(ctx);
  if ((void*)ports + sizeof(struct udphdr) > end) return false;
  ports[0] = to->sport;
  ports[1] = to->dport;
  if (kind == CHECKSUM_BY_HELPER) return true;

  __u16* check = (void*)ports + __builtin_offsetof(struct udphdr, check);
  if (!udp) check = (void*)ports + __builtin_offsetof(struct tcphdr, check);
  if ((void*)(check + 1) > end) return false;
  if (kind == CHECKSUM_PARTIAL) {  // the sum of the pseudo header, not inverted
    *check = fold((__u64)*check + diff.addresses);
    return true;
  }
  if (udp && !*check) return true;  // none (RFC 768)
  __u16 after = checksum_after(*check, diff.addresses + diff.ports);
  *check = udp && !after ? 0xffff : after;
#if !AT_XDP
  // The sum beside the packet: an IPv6 header's change and the checksum's cancel out; of IPv4 the header sums
  // to nothing before and after, so the checksum's change is left.
  if (kind == CHECKSUM_COMPLETE && !p->v6) bpf_csum_update(ctx, (__u16)~fold(diff.addresses));
#endif
  return true;
}

INLINE bool rewrite_ipv4(packet_ctx* ctx, const struct packet* p, const struct translation* to, __u64 diff,
                         bool hop) {
  struct iphdr* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 1) > data_end_of(ctx)) return false;
  ip->saddr = to->src.words[3];
  ip->daddr = to->dst.words[3];
  if (hop) {
    ip->ttl--;
    diff += (__u16)~bpf_htons(0x0100);
  }
  ip->check = checksum_after(ip->check, diff);
  return true;
}

INLINE bool rewrite_ipv6(packet_ctx* ctx, const struct packet* p, const struct translation* to, bool hop) {
  struct ipv6hdr* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 1) > data_end_of(ctx)) return false;
  __builtin_memcpy(&ip->saddr, &to->src, sizeof(ip->saddr));
  __builtin_memcpy(&ip->daddr, &to->dst, sizeof(ip->daddr));
  if (!hop) return true;
  ip->hop_limit--;
#if !AT_XDP
  if (checksum_kind(ctx) == CHECKSUM_COMPLETE) bpf_csum_update(ctx, (__u16)~bpf_htons(1));
#endif
  return true;
}

// Gives the packet the addresses and ports of `to`; one hop less if `hop` (its TTL is 2 or more). A packet
// that turns out too short is half rewritten, and false says so: it must be dropped.
INLINE bool rewrite(packet_ctx* ctx, const struct packet* p, const struct translation* to, bool hop) {
  struct diff diff = {
      .addresses = sum_diff_addr(&p->key.src, &to->src, p->v6) + sum_diff_addr(&p->key.dst, &to->dst, p->v6),
      .ports = sum_diff((__u32)p->key.dport << 16 | p->key.sport, (__u32)to->dport << 16 | to->sport)};
  // Layer 4 first: its helpers may make packet pointers void.
  if (!rewrite_l4(ctx, p, to, diff)) return false;
  return p->v6 ? rewrite_ipv6(ctx, p, to, hop) : rewrite_ipv4(ctx, p, to, diff.addresses, hop);
}

#endif  // FAIRLEAD_BPF_REWRITE_H_
