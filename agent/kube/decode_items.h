// SPDX-License-Identifier: Apache-2.0
// Cuts JSON text into the pieces that are decoded one by one, so that one bad piece costs only itself and
// memory is that of one piece. Looks at strings and brackets only: whether a piece is JSON its decoder says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::kube {

// The end of the value that starts at `at` (its first byte, no white space); nothing if its text ends before
// it.
std::optional<size_t> EndOfValue(std::string_view json, size_t at);

// The first byte at or after `at` that is not JSON white space, or the text's size.
size_t SkipSpace(std::string_view json, size_t at);

// A list as its items and the rest of it: the same text with an empty array in the place of the items.
struct SplitList {
  std::string frame;
  std::vector<std::string_view> items;
};

// Nothing if `json` is no object with a top-level array "items", or does not hang together.
std::optional<SplitList> SplitItems(std::string_view json);

}  // namespace fairlead::kube
