// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What bench_forward tells feed.bpf.c: the frames to send.
#ifndef FAIRLEAD_TEST_BENCH_FEED_H_
#define FAIRLEAD_TEST_BENCH_FEED_H_

#include <linux/types.h>

// The Ethernet, IPv4 and UDP headers of a frame, and what is left of the last word. What follows is the same
// in all frames.
struct feed_frame {
  __u64 words[6];
};

#endif  // FAIRLEAD_TEST_BENCH_FEED_H_
