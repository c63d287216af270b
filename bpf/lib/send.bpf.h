// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// send: how a translated packet leaves.
#ifndef FAIRLEAD_BPF_SEND_H_
#define FAIRLEAD_BPF_SEND_H_

#include "answer.bpf.h"
#include "base.bpf.h"
#include "dsr.bpf.h"
#include "flow.bpf.h"
#include "leave.bpf.h"
#include "packet.bpf.h"
#include "rewrite.bpf.h"
#include "route.bpf.h"

// Whether XDP may send it: out of the device it came in by. Any other takes an skb, or hardware that may not
// take part.
INLINE bool sendable_here(packet_ctx* ctx, const struct translation* to) {
#if AT_XDP
  return to->egress == EGRESS_DEVICE && to->ifindex == device_of(ctx) && !(to->flags & FLOW_DSR);
#else
  return true;
#endif
}

// Translates the packet and sends it. `verdict` if that goes well, else why not.
INLINE enum verdict send(packet_ctx* ctx, const struct packet* p, const struct translation* to,
                         enum verdict verdict, int* leave) {
  bool forwarded = to->egress != EGRESS_STACK;  // else the stack is the router
  if (to->egress == EGRESS_UNKNOWN) return VERDICT_DROP_NO_ROUTE;
  if (forwarded) {
    if (last_hop(ctx, p)) return VERDICT_DROP_TTL;
    if (to->flags & FLOW_DSR) {
      enum verdict sent = dsr_send(ctx, p, to, leave);
      return sent == VERDICT_TRANSLATED ? verdict : sent;
    }
    if (too_big(ctx, p, to->mtu)) return answer_too_big(ctx, p, to->mtu, leave);
  }
  if (!rewrite(ctx, p, to, forwarded)) return VERDICT_DROP_MALFORMED;
  if (to->egress == EGRESS_DEVICE && !set_link_addresses(ctx, to)) return VERDICT_DROP_MALFORMED;
  *leave = leave_by(ctx, to);
  return verdict;
}

#endif  // FAIRLEAD_BPF_SEND_H_
