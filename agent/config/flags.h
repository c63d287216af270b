// SPDX-License-Identifier: Apache-2.0
// The command line, read as kube-proxy reads it (Go's pflag): --name value, --name=value, switches without a
// value, underscores for hyphens.
#pragma once

#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/config/field.h"

namespace fairlead::config {

struct CommandLine {
  std::vector<Setting> settings;  // each flag once: the last value, or all of a kMany joined by commas
  std::optional<Exit> exit;       // --help, --version
};

// kInvalid names the flag: unknown, or without its value.
Result<CommandLine> ReadFlags(int argc, const char* const* argv);

}  // namespace fairlead::config
