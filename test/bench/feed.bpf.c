// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames on a device as a driver has them, before there is an skb: run on live frames (Linux 5.18,
// BPF_F_TEST_XDP_LIVE_FRAMES), XDP_TX sends each out by the device it is said to have come in by. And what of
// them came to a socket, which has nothing to do but count.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "test/bench/feed.h"

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);  // as many as there are, before it is loaded
  __type(key, __u32);
  __type(value, struct feed_frame);
} frames SEC(".maps");

__u32 first_frame, frame_count;  // the part of `frames` that is sent, in turn
__u64 fed, arrived;

// All that may have been changed is written anew: a frame's memory is used again when its packet is gone.
SEC("xdp")
int feed(struct xdp_md* xdp) {
  struct feed_frame* to = (void*)(long)xdp->data;
  if (!frame_count || (void*)(to + 1) > (void*)(long)xdp->data_end) return XDP_ABORTED;
  __u32 at = first_frame + fed++ % frame_count;
  struct feed_frame* frame = bpf_map_lookup_elem(&frames, &at);
  if (!frame) return XDP_ABORTED;
  *to = *frame;
  return XDP_TX;
}

// What XDP sends by one end of a veth waits at the other until something wakes that, unless a program is
// there (drivers/net/veth.c, veth_xdp_flush, Linux 6.18).
SEC("xdp")
int pass(struct xdp_md* xdp) {
  return XDP_PASS;
}

SEC("socket")
int count(struct __sk_buff* skb) {
  __sync_fetch_and_add(&arrived, 1);
  return 0;  // none of it is kept
}
