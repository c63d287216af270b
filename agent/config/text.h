// SPDX-License-Identifier: Apache-2.0
// Words for messages: what a user wrote, quoted safely, and what they may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::config {

// Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool IsUtf8(std::string_view text);

// `text` in double quotes, cut after 80 bytes; control characters, and all but ASCII in what is not UTF-8, as
// \xNN: fit for a log line.
std::string Quote(std::string_view text);

// The word closest to `word` by edit distance, if close enough to be a slip of the fingers (a third of its
// letters, case counting for nothing); else empty.
std::string_view Nearest(std::string_view word, std::span<const std::string_view> known);

// Pieces of a comma-separated list, blanks trimmed; an empty text is an empty list.
std::vector<std::string> SplitList(std::string_view text);

std::string_view Trim(std::string_view text);

}  // namespace fairlead::config
