// SPDX-License-Identifier: Apache-2.0
// What only a running agent knows, asked of its /metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/ctl/explain_request.h"

namespace fairlead::ctl {

// Service ports whose last change is not in the kernel yet; nothing if no agent answers there in a second.
std::optional<uint64_t> ReadWaiting(const Endpoint& metrics);

// The value of fairlead_pending_writes in the text of /metrics; nothing if it is not there.
std::optional<uint64_t> WaitingIn(std::string_view metrics);

}  // namespace fairlead::ctl
