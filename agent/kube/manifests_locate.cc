// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests_locate.h"

#include "agent/kube/decode_items.h"

namespace fairlead::kube {

namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// The value of member `key` (its key's offset in `key_at`) of the object at `at`.
std::optional<size_t> FindMember(std::string_view json, size_t at, std::string_view key, size_t& key_at) {
  at = SkipSpace(json, at + 1);
  while (at < json.size() && json[at] == '"') {
    auto key_end = EndOfValue(json, at);
    if (!key_end) return std::nullopt;
    size_t value = SkipSpace(json, *key_end);
    if (value >= json.size() || json[value] != ':') return std::nullopt;
    value = SkipSpace(json, value + 1);
    if (json.substr(at + 1, *key_end - at - 2) == key) {
      key_at = at;
      return value;
    }
    auto end = EndOfValue(json, value);
    if (!end) return std::nullopt;
    at = SkipSpace(json, *end);
    if (at >= json.size() || json[at] != ',') return std::nullopt;
    at = SkipSpace(json, at + 1);
  }
  return std::nullopt;
}

std::optional<size_t> FindElement(std::string_view json, size_t at, size_t index) {
  at = SkipSpace(json, at + 1);
  for (; index > 0; --index) {
    auto end = EndOfValue(json, at);
    if (!end) return std::nullopt;
    at = SkipSpace(json, *end);
    if (at >= json.size() || json[at] != ',') return std::nullopt;
    at = SkipSpace(json, at + 1);
  }
  return at;
}

// Recursive descent over the grammar; stops at the first fault.
class Checker {
 public:
  explicit Checker(std::string_view json) : json_(json) {}

  std::optional<JsonFault> Check() {
    Space();
    Value(0);
    return std::move(fault_);
  }

 private:
  static constexpr int kMaxDepth = 1024;  // simdjson's

  char Now() const { return at_ < json_.size() ? json_[at_] : '\0'; }
  void Space() { at_ = SkipSpace(json_, at_); }
  bool Take(char c) {
    if (at_ >= json_.size() || json_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool Fail(std::string what) {
    if (!fault_) fault_ = JsonFault{at_, at_ < json_.size() ? std::move(what) : what + ", got the end"};
    return false;
  }

  bool Value(int depth) {
    if (depth > kMaxDepth) return Fail("nested too deeply");
    switch (Now()) {
      case '{':
        return Members(depth);
      case '[':
        return Elements(depth);
      case '"':
        return String();
      case 't':
        return Literal("true");
      case 'f':
        return Literal("false");
      case 'n':
        return Literal("null");
      default:
        return Number();
    }
  }
  bool Members(int depth) {
    ++at_;
    Space();
    if (Take('}')) return true;
    do {
      Space();
      if (Now() != '"') return Fail("expected a key in double quotes");
      if (!String()) return false;
      Space();
      if (!Take(':')) return Fail("expected ':'");
      Space();
      if (!Value(depth + 1)) return false;
      Space();
    } while (Take(','));
    return Take('}') || Fail("expected ',' or '}'");
  }
  bool Elements(int depth) {
    ++at_;
    Space();
    if (Take(']')) return true;
    do {
      Space();
      if (!Value(depth + 1)) return false;
      Space();
    } while (Take(','));
    return Take(']') || Fail("expected ',' or ']'");
  }
  bool String() {
    ++at_;
    for (; at_ < json_.size(); ++at_) {
      auto c = static_cast<unsigned char>(json_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return Fail("control character in a string");
      if (c == '\\' && !Escape()) return Fail("unknown escape in a string");
    }
    return Fail("expected '\"'");
  }
  bool Escape() {
    ++at_;
    if (Now() != 'u') return std::string_view("\"\\/bfnrt").find(Now()) != std::string_view::npos;
    for (int digit = 0; digit < 4; ++digit) {
      ++at_;
      if (!std::string_view("0123456789abcdefABCDEF").contains(Now())) return false;
    }
    return true;
  }
  bool Literal(std::string_view word) {
    if (json_.substr(at_, word.size()) != word) return Fail("expected a value");
    at_ += word.size();
    return true;
  }
  void Digits() {
    while (IsDigit(Now())) ++at_;
  }
  bool Number() {
    Take('-');
    if (!IsDigit(Now())) return Fail("expected a value");
    if (!Take('0')) Digits();
    if (Take('.')) {
      if (!IsDigit(Now())) return Fail("expected a digit");
      Digits();
    }
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      if (!IsDigit(Now())) return Fail("expected a digit");
      Digits();
    }
    return true;
  }

  std::string_view json_;
  size_t at_ = 0;
  std::optional<JsonFault> fault_;
};

}  // namespace

size_t Locate(std::string_view json, const std::vector<PathStep>& path) {
  size_t at = SkipSpace(json, 0);
  size_t found = at;
  for (const PathStep& step : path) {
    if (at >= json.size()) break;
    size_t here = at;
    std::optional<size_t> next;
    if (json[at] == '{' && !step.key.empty()) {
      next = FindMember(json, at, step.key, here);
    } else if (json[at] == '[' && step.key.empty()) {
      next = FindElement(json, at, step.index);
      here = next.value_or(at);
    }
    if (!next) break;
    at = *next;
    found = here;
  }
  return found;
}

std::optional<JsonFault> FindFault(std::string_view json) {
  return Checker(json).Check();
}

}  // namespace fairlead::kube
