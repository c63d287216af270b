// SPDX-License-Identifier: Apache-2.0
// Connections of the packet path become entries of nf_conntrack, translated as they were, by ctnetlink: a
// datapath whose NAT is the kernel's goes on with them.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/hand_over.h"

namespace fairlead::modes {

// Makes the entries. `detach` ends the programs that translate now; while it works, segments of connections
// that nf_conntrack does not know are dropped (and sent again): neither a backend nor a client may see one
// that half of the translation has been done to. Of UDP nothing is made: a backend may be gone by now, and
// the client's next datagram begins anew. How many connections go on; an error only where `detach` had not
// ended.
Result<size_t> AdoptFlows(std::span<const ebpf::HandedFlow> flows,
                          const std::function<Result<void>()>& detach);

// Removes what drops those segments, should an agent have been killed while it was there. False: it was not.
Result<bool> RemoveGuard();

}  // namespace fairlead::modes
