// SPDX-License-Identifier: Apache-2.0
// YAML as JSON text with the same line numbers, so that one decoder reads both and a fault found in the JSON
// has its line in the file. Quoted scalars are strings; plain ones are null, booleans (YAML 1.1's words, as
// kubectl reads them) or numbers where they look like it. Anchors and aliases work; merge keys (<<) are
// refused.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace fairlead::kube {

// `json`, in which line `n` counted from 0 is line `first_line + n` of the file, counted from 1.
using YamlDocument = std::function<void(std::string_view json, size_t first_line)>;

struct YamlFault {
  size_t line = 0;  // from 1
  std::string what;
};

// Calls `document` for every document that is not empty. A fault ends it; documents before it were given out.
std::expected<void, YamlFault> ReadYaml(std::string_view yaml, const YamlDocument& document);

}  // namespace fairlead::kube
