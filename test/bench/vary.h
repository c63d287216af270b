// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What bench_packets tells vary.bpf.c: which packets to make, one after the other.
#ifndef FAIRLEAD_TEST_BENCH_VARY_H_
#define FAIRLEAD_TEST_BENCH_VARY_H_

#include <linux/types.h>

struct vary_shape {
  __u64 next;            // packets made so far; counts on
  __u32 flows;           // so many different ones: client address and port
  __u32 frontends;       // spread over so many destinations, one address after the other
  __u32 first_client;    // host order
  __u32 first_frontend;  // host order
  __u16 port;            // destination, host order
  __u8 tcp_flags;
  __u8 in_order;  // each flow in its turn; else as good as at random
  __u32 reserved;
};

#endif  // FAIRLEAD_TEST_BENCH_VARY_H_
