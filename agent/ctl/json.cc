// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/json.h"

namespace fairlead::ctl {

std::string JsonQuote(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    } else if (byte > 0x7f) {
      quoted += "\\ufffd";
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

void JsonWriter::Indent() {
  if (depth_ == 0) return;
  if (!first_) text_ += ',';
  text_ += '\n';
  text_.append(2 * depth_, ' ');
}

JsonWriter& JsonWriter::Raw(std::string_view name, std::string_view value) {
  Indent();
  if (!name.empty()) text_ += JsonQuote(name) + ": ";
  text_ += value;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::Begin(std::string_view name, char bracket) {
  Raw(name, std::string_view(&bracket, 1));
  ++depth_;
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::End(char bracket) {
  --depth_;
  if (!first_) {
    text_ += '\n';
    text_.append(2 * depth_, ' ');
  }
  text_ += bracket;
  first_ = false;
  return *this;
}

}  // namespace fairlead::ctl
