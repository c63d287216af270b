// SPDX-License-Identifier: Apache-2.0
// Removal of our rules from one backend.
#pragma once

#include "agent/base/error.h"
#include "agent/datapath/iptables/backend.h"

namespace fairlead::iptables {

// Goes on after a failure, and returns the first; false: there was nothing. `undo_localnet`: and
// route_localnet is as it was before us.
Result<bool> RemoveFrom(const Backend& backend, bool undo_localnet);

}  // namespace fairlead::iptables
