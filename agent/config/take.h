// SPDX-License-Identifier: Apache-2.0
// The words the field tables are written in: ways to take a value into the Options.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/field.h"

namespace fairlead::config {

using Check = Result<void> (*)(const std::string&);

Take TakeSwitch(bool Options::* member);
// `check` sees texts that are not empty.
Take TakeText(std::string Options::* member, Check check = nullptr);
Take TakeWord(std::string Options::* member, std::vector<std::string_view> words);

// A value that is read, checked and without effect, and the reason. Said for every flag, and for a field of
// the file unless it holds the type's zero or one of `silent`: values that ask for what happens anyway.
template <typename T>
Take NoEffect(Result<T> (*read)(const Value&), std::string_view why, std::vector<T> silent = {}) {
  silent.push_back(T{});
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto read_value = read(value);
    if (!read_value) return Unexpected(std::move(read_value).error());
    if (value.form == Value::Form::kFlag || std::ranges::find(silent, *read_value) == silent.end()) {
      draft.Warn(value.where, fmt::format("has no effect: {}", why));
    }
    return {};
  };
}

template <int64_t kMin, int64_t kMax>
Result<int64_t> ReadInteger(const Value& value) {
  return AsInteger(value, kMin, kMax);
}

Result<void> CheckCidr(const std::string& text);
Result<void> CheckAbsolutePath(const std::string& text);

// "expected one of a, b or c, got "x"", with a guess at what was meant.
Unexpected WrongWord(const std::string& text, const std::vector<std::string_view>& words);

}  // namespace fairlead::config
