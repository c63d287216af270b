// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// dsr: packets for a backend elsewhere go to its node in a tunnel (IP in IP, RFC 2003; RFC 2473), which then
// answers the client itself. The tunnel ends at the backend's address, and the port is in what a router does
// not look at: the outer IPv4 id (which says nothing where DF is set, RFC 6864) or the low half of the flow
// label.
#ifndef FAIRLEAD_BPF_DSR_H_
#define FAIRLEAD_BPF_DSR_H_

#include "answer.bpf.h"
#include "flow.bpf.h"
#include "frontend.bpf.h"
#include "leave.bpf.h"
#include "packet.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

#define TUNNEL_TTL 64

// The tunnel that a packet came in (tunnel.bpf.h): what it says, and to which Service and backend that leads.
// port 0: it came in none.
struct tunnel {
  struct ip_addr backend;
  __be16 port;
  __u8 from_destination;  // the sender has the address that the packet inside is for
  __u8 reserved;
  __u32 service_id;
  __u32 backend_id;
};

INLINE __u32 tunnel_overhead(const struct packet* p) {
  return p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

#if AT_XDP

INLINE enum verdict dsr_send(packet_ctx* ctx, const struct packet* p, const struct translation* to,
                             int* leave) {
  return VERDICT_NOT_OURS;  // TC's: sendable_here
}

#else

// The tunnel's own address: of NodePorts the one that the client asked, so that the backend's node, which
// does not know the addresses of this one, sees that it is ours.
INLINE bool tunnel_source(const struct packet* p, const struct translation* to, struct ip_addr* out) {
  *out = p->key.dst;
  return address_roles(out) & ADDRESS_NODE || node_address(to->ifindex, p->v6, out);
}

INLINE bool hop_less(packet_ctx* ctx, const struct packet* p) {
  if (p->v6) {
    struct ipv6hdr* ip = header_at(ctx, p->l3);
    if ((void*)(ip + 1) > data_end_of(ctx)) return false;
    ip->hop_limit--;
    bpf_csum_update(ctx, (__u16)~bpf_htons(1));  // of a device's sum; refused where there is none
    return true;
  }
  struct iphdr* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 1) > data_end_of(ctx)) return false;
  ip->check = checksum_after(ip->check,
                             sum_diff(bpf_htons((__u16)ip->ttl << 8), bpf_htons((__u16)(ip->ttl - 1) << 8)));
  ip->ttl--;
  return true;
}

// Lengths of more than 64 KiB are 0, as the kernel writes them; the packet is cut before it leaves.
INLINE __be16 length_field(__u32 length) {
  return length > 0xffff ? 0 : bpf_htons(length);
}

INLINE bool write_outer_v4(packet_ctx* ctx, const struct packet* p, const struct translation* to,
                           const struct ip_addr* src, __u8 service_class) {
  __u32 length = p->length ? p->length + sizeof(struct iphdr) : 0;
  struct iphdr outer = {.version = 4,
                        .ihl = 5,
                        .tos = service_class,
                        .tot_len = length_field(length),
                        .id = to->dport,
                        .frag_off = bpf_htons(IP_DONT_FRAGMENT),
                        .ttl = TUNNEL_TTL,
                        .protocol = IPPROTO_IPIP,
                        .saddr = src->words[3],
                        .daddr = to->dst.words[3]};
  const __u32* words = (const __u32*)&outer;
  outer.check = ~fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]);
  return bpf_skb_store_bytes(ctx, p->l3, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM) == 0;
}

INLINE bool write_outer_v6(packet_ctx* ctx, const struct packet* p, const struct translation* to,
                           const struct ip_addr* src, __u8 service_class) {
  struct ipv6hdr outer = {
      .payload_len = length_field(p->length), .nexthdr = IPPROTO_IPV6, .hop_limit = TUNNEL_TTL};
  *(__be32*)&outer = bpf_htonl(6U << 28 | (__u32)service_class << 20 | bpf_ntohs(to->dport));
  __builtin_memcpy(&outer.saddr, src, sizeof(outer.saddr));
  __builtin_memcpy(&outer.daddr, &to->dst, sizeof(outer.daddr));
  return bpf_skb_store_bytes(ctx, p->l3, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM) == 0;
}

// The packet, one hop less, in its tunnel. 0: it cannot. The class is the inner one's; its congestion bits
// stay behind, since nobody at the other end would put them together again (RFC 6040 4.3).
__noinline int dsr_wrap(packet_ctx* ctx, const struct packet* p, const struct translation* to) {
  if (!p || !to) return 0;
  __u8* ip = header_at(ctx, p->l3);
  if ((void*)(ip + 2) > data_end_of(ctx)) return 0;
  __u8 service_class = (p->v6 ? (__u8)(ip[0] << 4 | ip[1] >> 4) : ip[1]) & 0xfc;
  if (!hop_less(ctx, p)) return 0;
  struct ip_addr src;
  if (!tunnel_source(p, to, &src)) return 0;
  __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
  flags |= p->v6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
  if (bpf_skb_adjust_room(ctx, tunnel_overhead(p), BPF_ADJ_ROOM_MAC, flags)) return 0;
  return p->v6 ? write_outer_v6(ctx, p, to, &src, service_class)
               : write_outer_v4(ctx, p, to, &src, service_class);
}

// Sends the packet to to->dst in a tunnel by the route in `to`, which leads out of a device; to->dport is the
// backend's port. Addresses and ports inside stay: VERDICT_TRANSLATED, or why it did not leave.
INLINE enum verdict dsr_send(packet_ctx* ctx, const struct packet* p, const struct translation* to,
                             int* leave) {
  __u16 overhead = tunnel_overhead(p);
  if (to->mtu > overhead && too_big(ctx, p, to->mtu - overhead))
    return answer_too_big(ctx, p, to->mtu - overhead, leave);
  if (!dsr_wrap(ctx, p, to)) return VERDICT_DROP_MALFORMED;
  if (to->egress == EGRESS_DEVICE && !set_link_addresses(ctx, to)) return VERDICT_DROP_MALFORMED;
  *leave = leave_by(ctx, to);
  return VERDICT_TRANSLATED;
}

#endif  // !AT_XDP

#endif  // FAIRLEAD_BPF_DSR_H_
