// SPDX-License-Identifier: Apache-2.0
// Logging: spdlog's default logger, to stderr. Level by `-v` (0 info, 1-3 debug, 4+ trace).
#pragma once

#include <spdlog/spdlog.h>

namespace fairlead {

// Sets pattern and level of the process's logger. Call once, before threads start.
void SetUpLog(int verbosity);

}  // namespace fairlead
