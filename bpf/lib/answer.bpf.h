// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// answer: the packet becomes the answer to its sender.
#ifndef FAIRLEAD_BPF_ANSWER_H_
#define FAIRLEAD_BPF_ANSWER_H_

#include "packet.bpf.h"

// Turns a packet that is refused into a reset, or an ICMP port unreachable, from the address it was for, and
// sends it back. VERDICT_NOT_OURS: done, `leave` says how; else what became of it instead.
INLINE enum verdict answer_reject(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  *leave = LEAVE_DROP;
  return VERDICT_NOT_OURS;
}

// Tells the sender that the packet is larger than `mtu` (RFC 1191, RFC 8201), from the address it was for.
INLINE enum verdict answer_too_big(packet_ctx* ctx, const struct packet* p, __u16 mtu, int* leave) {
  *leave = LEAVE_DROP;
  return VERDICT_TOLD_TOO_BIG;
}

// Answers an echo request in place of the address it is for.
INLINE enum verdict answer_ping(packet_ctx* ctx, const struct packet* p, enum program program, int* leave) {
  return VERDICT_NOT_OURS;
}

#endif  // FAIRLEAD_BPF_ANSWER_H_
