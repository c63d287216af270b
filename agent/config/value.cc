// SPDX-License-Identifier: Apache-2.0
#include "agent/config/value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include "agent/config/duration.h"
#include "agent/config/text.h"

namespace fairlead::config {

namespace {

std::string Describe(const Value& value) {
  switch (value.form) {
    case Value::Form::kList:
      return "a list";
    case Value::Form::kMap:
      return "a map";
    case Value::Form::kQuoted:
      return "the string " + Quote(value.text);
    default:
      return Quote(value.text);
  }
}

bool IsScalar(const Value& value) {
  return value.form != Value::Form::kList && value.form != Value::Form::kMap;
}

bool IsBoolWord(std::string_view text) {
  return text == "true" || text == "True" || text == "TRUE" || text == "false" || text == "False" ||
         text == "FALSE";
}

template <typename T>
bool ReadNumber(std::string_view text, T& number) {
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

}  // namespace

Result<bool> AsBool(const Value& value) {
  if (value.form == Value::Form::kFlag) {  // the words of Go's strconv.ParseBool
    if (value.text == "1" || value.text == "t" || value.text == "T") return true;
    if (value.text == "0" || value.text == "f" || value.text == "F") return false;
  }
  if ((value.form == Value::Form::kFlag || value.form == Value::Form::kPlain) && IsBoolWord(value.text)) {
    return value.text[0] == 't' || value.text[0] == 'T';
  }
  return Fail(ErrorKind::kInvalid, "expected true or false, got {}", Describe(value));
}

Result<int64_t> AsInteger(const Value& value, int64_t min, int64_t max) {
  int64_t number = 0;
  if ((value.form != Value::Form::kFlag && value.form != Value::Form::kPlain) ||
      !ReadNumber(value.text, number) || number < min || number > max) {
    return Fail(ErrorKind::kInvalid, "expected a whole number from {} to {}, got {}", min, max,
                Describe(value));
  }
  return number;
}

Result<double> AsNumber(const Value& value) {
  double number = 0;
  if ((value.form != Value::Form::kFlag && value.form != Value::Form::kPlain) ||
      !ReadNumber(value.text, number) || !std::isfinite(number)) {
    return Fail(ErrorKind::kInvalid, "expected a number, got {}", Describe(value));
  }
  return number;
}

Result<std::string> AsText(const Value& value) {
  if (!IsScalar(value)) return Fail(ErrorKind::kInvalid, "expected a string, got {}", Describe(value));
  double number = 0;
  if (value.form == Value::Form::kPlain && (IsBoolWord(value.text) || ReadNumber(value.text, number))) {
    return Fail(ErrorKind::kInvalid, "expected a string, got {} (quote it if it is meant as one)",
                value.text);
  }
  std::string text(Trim(value.text));
  if (!IsUtf8(text) || std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return Fail(ErrorKind::kInvalid, "expected UTF-8 text without control characters, got {}",
                Describe(value));
  }
  return text;
}

Result<std::chrono::milliseconds> AsDuration(const Value& value) {
  if (!IsScalar(value)) {
    return Fail(ErrorKind::kInvalid, "expected a duration such as 30s or 1m30s, got {}", Describe(value));
  }
  auto duration = ParseDuration(Trim(value.text));
  if (!duration) return Unexpected(std::move(duration).error());
  if (duration->count() < 0) {
    return Fail(ErrorKind::kInvalid, "expected a duration that is not negative, got {}", Describe(value));
  }
  return std::chrono::ceil<std::chrono::milliseconds>(*duration);
}

Result<std::vector<std::string>> AsList(const Value& value) {
  if (value.form == Value::Form::kFlag) {
    auto text = AsText(value);
    if (!text) return Unexpected(std::move(text).error());
    return SplitList(*text);
  }
  if (value.form != Value::Form::kList) {
    return Fail(ErrorKind::kInvalid, "expected a list of strings, got {}", Describe(value));
  }
  std::vector<std::string> list;
  for (const Value& item : value.items) {
    auto text = AsText(item);
    if (!text) return Unexpected(std::move(text).error().In(fmt::format("item {}", list.size() + 1)));
    list.push_back(*std::move(text));
  }
  return list;
}

Result<std::vector<std::pair<std::string, bool>>> AsSwitches(const Value& value) {
  std::vector<std::pair<std::string, Value>> entries;
  if (value.form == Value::Form::kFlag) {
    for (const std::string& piece : SplitList(value.text)) {
      size_t equals = piece.find('=');
      if (equals == std::string::npos) {
        return Fail(ErrorKind::kInvalid, "expected Name=true or Name=false, got {}", Quote(piece));
      }
      Value entry{.form = Value::Form::kFlag,
                  .where = {},
                  .text = piece.substr(equals + 1),
                  .items = {},
                  .entries = {}};
      entries.emplace_back(piece.substr(0, equals), std::move(entry));
    }
  } else if (value.form == Value::Form::kMap) {
    entries = value.entries;
  } else {
    return Fail(ErrorKind::kInvalid, "expected a map of names to true or false, got {}", Describe(value));
  }
  std::vector<std::pair<std::string, bool>> switches;
  for (const auto& [name, entry] : entries) {
    if (name.empty() || !std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) != 0; })) {
      return Fail(ErrorKind::kInvalid, "expected a name of letters and digits, got {}", Quote(name));
    }
    auto on = AsBool(entry);
    if (!on) return Unexpected(std::move(on).error().In(name));
    switches.emplace_back(name, *on);
  }
  return switches;
}

}  // namespace fairlead::config
