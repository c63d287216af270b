// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/decode_items.h"

#include <array>

namespace fairlead::kube {

namespace {

enum class Byte : uint8_t { kOther, kQuote, kOpen, kClose };

constexpr std::array<Byte, 256> MakeBytes() {
  std::array<Byte, 256> bytes{};
  bytes['"'] = Byte::kQuote;
  bytes['{'] = bytes['['] = Byte::kOpen;
  bytes['}'] = bytes[']'] = Byte::kClose;
  return bytes;
}
constexpr std::array<Byte, 256> kBytes = MakeBytes();

Byte ByteAt(std::string_view json, size_t at) {
  return kBytes[static_cast<unsigned char>(json[at])];
}

// Past the closing quote of the string that opens at `at`.
std::optional<size_t> EndOfString(std::string_view json, size_t at) {
  for (++at; at < json.size(); ++at) {
    if (json[at] == '\\') {
      ++at;
    } else if (json[at] == '"') {
      return at + 1;
    }
  }
  return std::nullopt;
}

// Cuts the array that opens at `at` into its elements; past its bracket.
std::optional<size_t> SplitArray(std::string_view json, size_t at, std::vector<std::string_view>& elements) {
  at = SkipSpace(json, at + 1);
  if (at < json.size() && json[at] == ']') return at + 1;
  while (at < json.size()) {
    auto end = EndOfValue(json, at);
    if (!end) return std::nullopt;
    elements.push_back(json.substr(at, *end - at));
    at = SkipSpace(json, *end);
    if (at >= json.size()) return std::nullopt;
    if (json[at] == ']') return at + 1;
    if (json[at] != ',') return std::nullopt;
    at = SkipSpace(json, at + 1);
  }
  return std::nullopt;
}

}  // namespace

size_t SkipSpace(std::string_view json, size_t at) {
  while (at < json.size() && (json[at] == ' ' || json[at] == '\n' || json[at] == '\r' || json[at] == '\t'))
    ++at;
  return at;
}

std::optional<size_t> EndOfValue(std::string_view json, size_t at) {
  if (at >= json.size() || ByteAt(json, at) == Byte::kClose) return std::nullopt;
  if (json[at] == '"') return EndOfString(json, at);
  if (ByteAt(json, at) == Byte::kOther) {
    size_t end = std::min(json.find_first_of(",]} \t\r\n", at), json.size());
    return end > at ? std::optional(end) : std::nullopt;
  }
  size_t depth = 0;
  while (at < json.size()) {
    switch (ByteAt(json, at)) {
      case Byte::kOther:
        ++at;
        break;
      case Byte::kQuote: {
        auto end = EndOfString(json, at);
        if (!end) return std::nullopt;
        at = *end;
        break;
      }
      case Byte::kOpen:
        ++depth;
        ++at;
        break;
      case Byte::kClose:
        ++at;
        if (--depth == 0) return at;
        break;
    }
  }
  return std::nullopt;
}

std::optional<SplitList> SplitItems(std::string_view json) {
  constexpr std::string_view kItems = "\"items\"";
  size_t at = SkipSpace(json, 0);
  if (at >= json.size() || json[at] != '{') return std::nullopt;
  at = SkipSpace(json, at + 1);
  while (at < json.size() && json[at] == '"') {
    auto key_end = EndOfString(json, at);
    if (!key_end) return std::nullopt;
    std::string_view key = json.substr(at, *key_end - at);
    at = SkipSpace(json, *key_end);
    if (at >= json.size() || json[at] != ':') return std::nullopt;
    at = SkipSpace(json, at + 1);
    if (at < json.size() && key == kItems && json[at] == '[') {
      SplitList list;
      auto end = SplitArray(json, at, list.items);
      if (!end) return std::nullopt;
      list.frame.append(json.substr(0, at)).append("[]").append(json.substr(*end));
      return list;
    }
    auto end = EndOfValue(json, at);
    if (!end) return std::nullopt;
    at = SkipSpace(json, *end);
    if (at >= json.size() || json[at] != ',') return std::nullopt;
    at = SkipSpace(json, at + 1);
  }
  return std::nullopt;
}

}  // namespace fairlead::kube
