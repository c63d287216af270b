// SPDX-License-Identifier: Apache-2.0
// One agent a network namespace: rules, servers and devices are the namespace's, and two who write them undo
// each other's work. (ebpf mode has a lock on its pins as well: those may be shared between namespaces.)
#pragma once

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::modes {

// Holds as long as the Fd is open, or the process lives: an abstract socket, whose name is the namespace's
// and which needs no file. Waits a few seconds for another to leave; kUnavailable then, with its process id
// as this namespace of processes has it (0: it is in another).
Result<Fd> ClaimNetns();

}  // namespace fairlead::modes
