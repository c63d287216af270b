// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The walk of tc_lb at the driver, for what leaves the node again by the device it came in by: before there
// is an skb. Everything else passes, and TC goes on with the flow that was begun here.
#include "lib/xdp.bpf.h"

#include "lib/walk.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("xdp")
int xdp_uplink(struct xdp_md* xdp) {
  return walk(xdp, PROGRAM_XDP, false);
}
