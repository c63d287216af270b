// SPDX-License-Identifier: Apache-2.0
// The configuration file: YAML documents told apart by apiVersion and kind, each field matched with its row
// in the tables of field.h.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/config/field.h"

namespace fairlead::config {

// Every field the file sets, in its order; null values are as if absent. kInvalid names file, line and field:
// not YAML, an unknown or repeated field, a kind of document that is unknown or there twice.
Result<std::vector<Setting>> ReadFile(const std::string& path);
Result<std::vector<Setting>> ReadText(const std::string& text, const std::string& name);

}  // namespace fairlead::config
