// SPDX-License-Identifier: Apache-2.0
#include "test/support/packet/expect.h"

#include <algorithm>
#include <map>
#include <utility>

#include <gtest/gtest.h>

#include "test/support/packet/dissect.h"

namespace fairlead::test {

namespace {

void FailAt(const std::source_location& where, const std::string& message) {
  ADD_FAILURE_AT(where.file_name(), static_cast<int>(where.line())) << message;
}

// A header may come twice: its fields are told apart by how often their name has been.
std::vector<std::pair<std::pair<std::string, int>, std::string>> Numbered(std::span<const uint8_t> frame) {
  std::map<std::string, int> times;
  std::vector<std::pair<std::pair<std::string, int>, std::string>> fields;
  for (Field& field : Dissect(frame)) {
    int time = ++times[field.name];
    fields.push_back({{std::move(field.name), time}, std::move(field.value)});
  }
  return fields;
}

}  // namespace

std::vector<std::string> Differences(std::span<const uint8_t> got, std::span<const uint8_t> want) {
  std::vector<std::string> lines;
  auto have = Numbered(got), expected = Numbered(want);
  auto value_of = [](const auto& fields, const auto& name) {
    auto it =
        std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
    return it == fields.end() ? std::string("none") : it->second;
  };
  for (const auto& [name, wanted] : expected) {
    std::string value = value_of(have, name);
    if (value != wanted) lines.push_back(fmt::format("{}: got {}, want {}", name.first, value, wanted));
  }
  for (const auto& [name, value] : have) {
    if (value_of(expected, name) == "none")
      lines.push_back(fmt::format("{}: got {}, want none", name.first, value));
  }
  if (lines.empty() && !std::ranges::equal(got, want))
    lines.push_back(
        fmt::format("bytes: got {:02x}\n      want {:02x}", fmt::join(got, ""), fmt::join(want, "")));
  return lines;
}

void ExpectPacket(std::span<const uint8_t> got, const Packet& want, std::source_location where) {
  std::vector<std::string> lines = Differences(got, want.Frame());
  if (lines.empty()) return;
  FailAt(where, fmt::format("got {}\n  {}", Brief(got), fmt::join(lines, "\n  ")));
}

void ExpectRightChecksums(std::span<const uint8_t> got, std::source_location where) {
  for (const Field& field : Dissect(got)) {
    if (field.value.find("(wrong") != std::string::npos)
      FailAt(where, fmt::format("{}: {} is {}", Brief(got), field.name, field.value));
  }
}

}  // namespace fairlead::test
