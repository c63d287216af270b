// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/decode_value.h"

#include <algorithm>

#include <fmt/format.h>

namespace fairlead::kube {

namespace {

constexpr size_t kMaxLeftOut = 8;  // remarks an object may make: a thousand bad endpoints are one problem
constexpr size_t kMaxQuoted = 64;  // bytes of a bad value that a message repeats

bool IsPlainWord(std::string_view key) {
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string Quoted(simdjson::dom::element json) {
  switch (json.type()) {
    case simdjson::dom::element_type::ARRAY:
      return "an array";
    case simdjson::dom::element_type::OBJECT:
      return "an object";
    default:
      break;
  }
  std::string text = simdjson::minify(json);
  if (text.size() <= kMaxQuoted) return text;
  size_t end = kMaxQuoted;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

}  // namespace

std::string PathText(const std::vector<PathStep>& path) {
  std::string text;
  for (const PathStep& step : path) {
    if (step.key.empty()) {
      text += fmt::format("[{}]", step.index);
    } else if (IsPlainWord(step.key)) {
      text += fmt::format("{}{}", text.empty() ? "" : ".", step.key);
    } else {
      text += fmt::format("[\"{}\"]", step.key);
    }
  }
  return text;
}

std::string Refusal::Message(Kind kind) const {
  std::string subject(KindName(kind));
  if (!name.name.empty()) subject += " " + name.ToString();
  return path.empty() ? fmt::format("{}: {}", subject, what)
                      : fmt::format("{}: {}: {}", subject, PathText(path), what);
}

void Reader::Fail(std::vector<PathStep> path, std::string what) {
  if (!refusal_) refusal_ = Refusal{name, resource_version, std::move(path), std::move(what), false};
}

bool Reader::LeaveOut() {
  if (!refusal_) return false;
  if (left_out_.size() < kMaxLeftOut) {
    left_out_.push_back(std::move(*refusal_));
  } else {
    ++more_left_out_;
  }
  refusal_.reset();
  return true;
}

std::vector<Refusal> Reader::TakeLeftOut() {
  if (more_left_out_ > 0) left_out_.back().what += fmt::format(" (and {} more like it)", more_left_out_);
  return std::move(left_out_);
}

std::string_view Value::Text() const {
  if (Absent()) return {};
  std::string_view text;
  if (json_.get(text) != simdjson::SUCCESS) Expected("a string");
  return text;
}

bool Value::Bool(bool if_absent) const {
  if (Absent()) return if_absent;
  bool value = if_absent;
  if (json_.get(value) != simdjson::SUCCESS) Expected("true or false");
  return value;
}

int64_t Value::Integer64(int64_t min, int64_t max, int64_t if_absent) const {
  if (Absent()) return if_absent;
  int64_t value = 0;
  if (json_.get(value) == simdjson::SUCCESS && value >= min && value <= max) return value;
  Expected(fmt::format("{}-{}", min, max));
  return if_absent;
}

void Value::Pick(std::span<const std::string_view> names, std::span<Value> fields) const {
  for (Value& field : fields) field.reader_ = reader_;
  ForEachField([&](std::string_view key, const Value& member) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (key != names[i]) continue;
      if (fields[i].there_) return member.Fail("is there twice");
      fields[i] = member;
      return;
    }
  });
  for (size_t i = 0; i < names.size(); ++i) {  // absent ones too: they may be what is wrong
    fields[i].up_ = this;
    fields[i].key_ = names[i];
  }
}

bool Value::AsArray(simdjson::dom::array& array) const {
  if (Absent()) return false;
  if (json_.get(array) == simdjson::SUCCESS) return true;
  Expected("an array");
  return false;
}

bool Value::AsObject(simdjson::dom::object& object) const {
  if (Absent()) return false;
  if (json_.get(object) == simdjson::SUCCESS) return true;
  Expected("an object");
  return false;
}

void Value::Expected(std::string_view expected) const {
  Fail(fmt::format("expected {}, got {}", expected, there_ ? Quoted(json_) : "nothing"));
}

std::vector<PathStep> Value::Path() const {
  std::vector<PathStep> path;
  for (const Value* value = this; value->up_; value = value->up_) {
    path.push_back({std::string(value->key_), value->index_});
  }
  std::reverse(path.begin(), path.end());
  return path;
}

simdjson::error_code ParseJson(std::string_view json, simdjson::dom::element& root) {
  // A parser keeps tape and strings for the largest text it saw: about five times its length. What one giant
  // object took is given back with the next small one.
  constexpr size_t kKeep = size_t{1} << 20;
  thread_local simdjson::dom::parser parser;
  if (parser.capacity() > kKeep && json.size() < kKeep) parser = simdjson::dom::parser();
  return parser.parse(json.data(), json.size()).get(root);
}

}  // namespace fairlead::kube
