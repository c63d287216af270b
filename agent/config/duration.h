// SPDX-License-Identifier: Apache-2.0
// Durations as Go writes them ("1m30s", "250ms", "0"), because kube-proxy's flags and file have them so.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace fairlead::config {

// The syntax of Go's time.ParseDuration: signed, decimal fractions, units ns us µs ms s m h; a bare number
// other than 0 is refused. Fractions finer than a nanosecond are cut off.
Result<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// As Go's Duration.String: "1h0m0s", "1m30s", "1.5s", "250ms", "0s". ParseDuration reads it back exactly.
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace fairlead::config
