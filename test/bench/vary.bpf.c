// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Makes each packet of a BPF_PROG_TEST_RUN another one, and hands it to the program under test by a tail
// call: repeated runs so meet many flows and cold caches. With an empty program in its place the same is the
// floor.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "test/bench/vary.h"

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct vary_shape);
} shape SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} tc_program SEC(".maps"), xdp_program SEC(".maps");

static __always_inline int make(void* data, void* end) {
  struct frame {
    struct ethhdr eth;
    struct iphdr ip;
    struct tcphdr tcp;
  } __attribute__((packed))* frame = data;
  __u32 zero = 0;
  struct vary_shape* vary = bpf_map_lookup_elem(&shape, &zero);
  if (!vary || (void*)(frame + 1) > end) return 0;
  __u64 n = vary->next++;
  __u64 mixed = vary->in_order ? n : n * 0x9e3779b97f4a7c15ULL >> 20;
  __u32 flow = mixed % vary->flows;
  __u32 frontend = flow % vary->frontends;
  frame->eth.h_proto = bpf_htons(ETH_P_IP);
  frame->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP};
  frame->ip.tot_len = bpf_htons(sizeof(struct iphdr) + sizeof(struct tcphdr));
  frame->ip.saddr = bpf_htonl(vary->first_client + flow / 16384);
  frame->ip.daddr = bpf_htonl(vary->first_frontend + frontend);
  frame->tcp.source = bpf_htons(10000 + flow % 16384);
  frame->tcp.dest = bpf_htons(vary->port);
  frame->tcp.doff = 5;
  ((__u8*)&frame->tcp)[13] = vary->tcp_flags;
  return 1;
}

SEC("tc")
int vary_tc(struct __sk_buff* skb) {
  if (make((void*)(long)skb->data, (void*)(long)skb->data_end)) bpf_tail_call(skb, &tc_program, 0);
  return 0;
}
SEC("tc")
int empty_tc(struct __sk_buff* skb) {
  return 0;
}

SEC("xdp")
int vary_xdp(struct xdp_md* xdp) {
  if (make((void*)(long)xdp->data, (void*)(long)xdp->data_end)) bpf_tail_call(xdp, &xdp_program, 0);
  return XDP_PASS;
}
SEC("xdp")
int empty_xdp(struct xdp_md* xdp) {
  return XDP_PASS;
}
