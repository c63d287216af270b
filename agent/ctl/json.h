// SPDX-License-Identifier: Apache-2.0
// Writes JSON (RFC 8259), indented by two spaces. Commas and nesting are its business; that every Begin has
// its End, and every member of an object its name, is the caller's.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace fairlead::ctl {

// Text in quotes, escaped. Bytes outside ASCII become U+FFFD: nothing here has a reason to hold any.
std::string JsonQuote(std::string_view text);

class JsonWriter {
 public:
  JsonWriter& BeginObject(std::string_view name = {}) { return Begin(name, '{'); }
  JsonWriter& EndObject() { return End('}'); }
  JsonWriter& BeginArray(std::string_view name = {}) { return Begin(name, '['); }
  JsonWriter& EndArray() { return End(']'); }

  // A member of an object; without a name, an element of an array.
  JsonWriter& Member(std::string_view name, std::string_view text) { return Raw(name, JsonQuote(text)); }
  JsonWriter& Member(std::string_view name, const char* text) { return Raw(name, JsonQuote(text)); }
  JsonWriter& Member(std::string_view name, bool value) { return Raw(name, value ? "true" : "false"); }
  template <std::integral Number>
    requires(!std::same_as<Number, bool>)
  JsonWriter& Member(std::string_view name, Number value) {
    return Raw(name, fmt::format("{}", value));
  }

  // The document, ended by a newline.
  std::string Take() && { return std::move(text_) + "\n"; }

 private:
  JsonWriter& Begin(std::string_view name, char bracket);
  JsonWriter& End(char bracket);
  JsonWriter& Raw(std::string_view name, std::string_view value);
  void Indent();

  std::string text_;
  size_t depth_ = 0;
  bool first_ = true;  // in the innermost object or array
};

}  // namespace fairlead::ctl
