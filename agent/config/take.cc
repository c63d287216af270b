// SPDX-License-Identifier: Apache-2.0
#include "agent/config/take.h"

#include "agent/base/address.h"
#include "agent/config/text.h"

namespace fairlead::config {

Take TakeSwitch(bool Options::* member) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto on = AsBool(value);
    if (!on) return Unexpected(std::move(on).error());
    draft.options.*member = *on;
    return {};
  };
}

Take TakeText(std::string Options::* member, Check check) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto text = AsText(value);
    if (!text) return Unexpected(std::move(text).error());
    if (check != nullptr && !text->empty()) {
      if (auto checked = check(*text); !checked) return checked;
    }
    draft.options.*member = *std::move(text);
    return {};
  };
}

Take TakeWord(std::string Options::* member, std::vector<std::string_view> words) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto text = AsText(value);
    if (!text) return Unexpected(std::move(text).error());
    if (text->empty()) return {};  // the default stands
    if (std::ranges::find(words, *text) == words.end()) return WrongWord(*text, words);
    draft.options.*member = *std::move(text);
    return {};
  };
}

Result<void> CheckCidr(const std::string& text) {
  if (Cidr::Parse(text)) return {};
  return Fail(ErrorKind::kInvalid, "expected a CIDR such as 10.244.0.0/16 or fd00::/48, got {}", Quote(text));
}

Result<void> CheckAbsolutePath(const std::string& text) {
  if (text.starts_with('/')) return {};
  return Fail(ErrorKind::kInvalid, "expected an absolute path, got {}", Quote(text));
}

Unexpected WrongWord(const std::string& text, const std::vector<std::string_view>& words) {
  std::string list;
  for (size_t i = 0; i < words.size(); ++i) {
    list += i == 0 ? "" : i + 1 == words.size() ? " or " : ", ";
    list += words[i];
  }
  std::string_view meant = Nearest(text, words);
  return Fail(ErrorKind::kInvalid, "expected {}{}, got {}{}", words.size() > 2 ? "one of " : "", list,
              Quote(text), meant.empty() ? "" : fmt::format(" (did you mean {}?)", meant));
}

}  // namespace fairlead::config
