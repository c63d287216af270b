// SPDX-License-Identifier: Apache-2.0
// The field types that several kinds share: addresses, prefixes, names, times.
#include <chrono>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/kube/decode_kinds.h"

namespace fairlead::kube {

namespace {

bool IsMulticastOrBroadcast(const Address& address) {
  if (address.GetFamily() == Family::kIpv6) return address.raw.bytes[0] == 0xff;
  return address.raw.bytes[12] >> 4 == 0xe || address.raw.words[3] == 0xffffffff;
}

// Reads `digits` digits at `at` and moves past them; -1 if there are not that many.
int Digits(std::string_view text, size_t& at, size_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (size_t end = at + digits; at < end; ++at) {
    if (text[at] < '0' || text[at] > '9') return -1;
    value = value * 10 + (text[at] - '0');
  }
  return value;
}

bool Skip(std::string_view text, size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  ++at;
  return true;
}

std::optional<int64_t> FractionNs(std::string_view text, size_t& at) {
  if (!Skip(text, at, '.')) return 0;
  int64_t ns = 0;
  size_t digits = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
    if (digits < 9) ns = ns * 10 + (text[at] - '0');
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 9; ++digits) ns *= 10;
  return ns;
}

std::optional<int64_t> OffsetSeconds(std::string_view text, size_t& at) {
  if (Skip(text, at, 'Z') || Skip(text, at, 'z')) return 0;
  int sign = Skip(text, at, '+') ? 1 : Skip(text, at, '-') ? -1 : 0;
  int hours = Digits(text, at, 2);
  if (sign == 0 || hours < 0 || hours > 23 || !Skip(text, at, ':')) return std::nullopt;
  int minutes = Digits(text, at, 2);
  if (minutes < 0 || minutes > 59) return std::nullopt;
  return sign * (hours * 3600 + minutes * 60);
}

std::optional<int64_t> ParseRfc3339(std::string_view text) {
  size_t at = 0;
  int year = Digits(text, at, 4);
  if (year < 0 || !Skip(text, at, '-')) return std::nullopt;
  int month = Digits(text, at, 2);
  if (month < 0 || !Skip(text, at, '-')) return std::nullopt;
  int day = Digits(text, at, 2);
  if (day < 0 || !(Skip(text, at, 'T') || Skip(text, at, 't'))) return std::nullopt;
  int hour = Digits(text, at, 2);
  if (hour < 0 || hour > 23 || !Skip(text, at, ':')) return std::nullopt;
  int minute = Digits(text, at, 2);
  if (minute < 0 || minute > 59 || !Skip(text, at, ':')) return std::nullopt;
  int second = Digits(text, at, 2);
  if (second < 0 || second > 60) return std::nullopt;  // 60: a leap second
  auto fraction = FractionNs(text, at);
  if (!fraction) return std::nullopt;
  auto offset = OffsetSeconds(text, at);
  if (!offset || at != text.size()) return std::nullopt;

  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  // Nanoseconds in 64 bits end in the years 1677 and 2262.
  if (!date.ok() || year < 1678 || year > 2261) return std::nullopt;
  int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - *offset;
  return seconds * 1'000'000'000 + *fraction;
}

}  // namespace

std::optional<Address> UnicastAddress(const Value& value) {
  auto address = Address::Parse(value.Text());
  if (value.reader().Failed()) return std::nullopt;
  if (!address) {
    value.Expected("an IPv4 or IPv6 address");
    return std::nullopt;
  }
  if (address->IsUnspecified() || address->IsLoopback() || IsMulticastOrBroadcast(*address)) {
    value.Expected("a unicast address that is not the node's own loopback");
    return std::nullopt;
  }
  return *address;
}

std::optional<Cidr> Prefix(const Value& value) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  std::string_view text = value.Text();
  if (value.reader().Failed()) return std::nullopt;
  size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  text = text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
  auto cidr = Cidr::Parse(text);
  if (!cidr) {
    value.Expected("a CIDR such as 10.0.0.0/8");
    return std::nullopt;
  }
  return *cidr;
}

size_t Word(const Value& value, std::span<const std::string_view> words, size_t if_absent) {
  std::string_view text = value.Text();
  if (text.empty()) return if_absent;
  for (size_t i = 0; i < words.size(); ++i) {
    if (text == words[i]) return i;
  }
  value.Expected(fmt::format("{}", fmt::join(words, " or ")));
  return if_absent;
}

Protocol ReadProtocol(const Value& value) {
  static constexpr std::string_view kWords[] = {"TCP", "UDP", "SCTP"};
  static constexpr Protocol kProtocols[] = {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp};
  return kProtocols[Word(value, kWords, 0)];
}

std::string PortName(const Value& value) {
  std::string_view name = value.Text();
  bool good = name.size() <= 63;
  for (char c : name) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
  if (!good) value.Expected("at most 63 lower-case letters, digits and '-'");
  return std::string(name);
}

int64_t TimeNs(const Value& value) {
  std::string_view text = value.Text();
  if (text.empty()) return 0;
  auto time = ParseRfc3339(text);
  if (!time) value.Expected("an RFC 3339 time such as 2026-11-21T09:13:37Z");
  return time.value_or(0);
}

}  // namespace fairlead::kube
