// SPDX-License-Identifier: Apache-2.0
// Where in a JSON text something is, for messages: a parser as fast as simdjson does not say.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/decode_refusal.h"

namespace fairlead::kube {

// Offset of the key (or array element) that `path` leads to in valid JSON; of the last step that is there if
// it leads nowhere.
size_t Locate(std::string_view json, const std::vector<PathStep>& path);

struct JsonFault {
  size_t offset = 0;
  std::string what;  // "expected ',' or '}'"
};
// The first violation of RFC 8259's grammar in the value that `json` starts with; nothing if there is none.
std::optional<JsonFault> FindFault(std::string_view json);

}  // namespace fairlead::kube
