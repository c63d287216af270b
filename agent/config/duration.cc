// SPDX-License-Identifier: Apache-2.0
#include "agent/config/duration.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "agent/config/text.h"

namespace fairlead::config {

namespace {

struct Unit {
  std::string_view name;
  int64_t ns;
};

constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\u00b5s", 1'000},  // micro sign
                                         {"\u03bcs", 1'000},  // Greek mu
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Takes "12.5m" off the front of `rest`; its length in ns, or nothing if malformed or out of range.
std::optional<int64_t> TakePart(std::string_view& rest) {
  size_t end = 0;
  int64_t whole = 0;
  for (; end < rest.size() && IsDigit(rest[end]); ++end) {
    if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, rest[end] - '0', &whole)) {
      return std::nullopt;
    }
  }
  size_t digits = end;
  int64_t fraction = 0;
  int64_t scale = 1;
  if (end < rest.size() && rest[end] == '.') {
    for (++end; end < rest.size() && IsDigit(rest[end]); ++end) {
      ++digits;
      if (scale >= 100'000'000'000'000) continue;  // finer than a nanosecond of an hour
      fraction = fraction * 10 + (rest[end] - '0');
      scale *= 10;
    }
  }
  if (digits == 0) return std::nullopt;
  rest.remove_prefix(end);

  size_t length = std::min(rest.find_first_of("0123456789."), rest.size());
  const auto* unit = std::ranges::find(kUnits, rest.substr(0, length), &Unit::name);
  if (unit == kUnits.end()) return std::nullopt;
  rest.remove_prefix(length);

  int64_t total = 0;
  auto part = static_cast<int64_t>(static_cast<long double>(fraction) * static_cast<long double>(unit->ns) /
                                   static_cast<long double>(scale));
  if (__builtin_mul_overflow(whole, unit->ns, &total) || __builtin_add_overflow(total, part, &total)) {
    return std::nullopt;
  }
  return total;
}

}  // namespace

Result<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  auto refuse = [text] {
    return Fail(ErrorKind::kInvalid, "expected a duration such as 30s or 1m30s, got {}", Quote(text));
  };
  std::string_view rest = text;
  bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) return refuse();
  int64_t total = 0;
  while (!rest.empty()) {
    std::optional<int64_t> part = TakePart(rest);
    if (!part || __builtin_add_overflow(total, *part, &total)) return refuse();
  }
  return std::chrono::nanoseconds(negative ? -total : total);
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  int64_t ns = duration.count();
  if (ns == 0) return "0s";
  std::string sign = ns < 0 ? "-" : "";
  auto left = ns < 0 ? ~static_cast<uint64_t>(ns) + 1 : static_cast<uint64_t>(ns);
  auto decimal = [](uint64_t value, uint64_t unit) {
    std::string text = fmt::format("{}", value / unit);
    if (uint64_t fraction = value % unit; fraction != 0) {
      std::string digits = fmt::format("{}", unit + fraction).substr(1);
      digits.erase(digits.find_last_not_of('0') + 1);
      text += "." + digits;
    }
    return text;
  };
  if (left < 1'000) return fmt::format("{}{}ns", sign, left);
  if (left < 1'000'000) return fmt::format("{}{}us", sign, decimal(left, 1'000));
  if (left < 1'000'000'000) return fmt::format("{}{}ms", sign, decimal(left, 1'000'000));
  uint64_t minutes = left / 60'000'000'000;
  std::string text = sign;
  if (minutes >= 60) text += fmt::format("{}h", minutes / 60);
  if (minutes > 0) text += fmt::format("{}m", minutes % 60);
  return text + decimal(left % 60'000'000'000, 1'000'000'000) + "s";
}

}  // namespace fairlead::config
