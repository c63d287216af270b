// SPDX-License-Identifier: Apache-2.0
#include "agent/config/duration.h"

#include <gtest/gtest.h>

namespace fairlead::config {
namespace {

using namespace std::chrono_literals;

TEST(Duration, ReadsWhatGoWrites) {
  const std::pair<const char*, std::chrono::nanoseconds> cases[] = {
      {"0", 0ns},
      {"0s", 0ns},
      {"30s", 30s},
      {"1m30s", 90s},
      {"2h22m", 142min},
      {"15m0s", 15min},
      {"24h0m0s", 24h},
      {"250ms", 250ms},
      {"1.5s", 1500ms},
      {".5s", 500ms},
      {"5.s", 5s},
      {"-1m", -1min},
      {"+7us", 7us},
      {"7\u00b5s", 7us},
      {"1h1ns", 1h + 1ns},
      {"0.1h", 6min},
      {"2562047h", 2562047h},
  };
  for (const auto& [text, expected] : cases) {
    auto read = ParseDuration(text);
    ASSERT_TRUE(read) << text << ": " << read.error().message;
    EXPECT_EQ(*read, expected) << text;
  }
}

TEST(Duration, RefusesWhatGoRefuses) {
  for (const char* text : {"", "30", "s", ".", ".s", "1x", "1 s", "1s ", "-", "1m-1s", "--1s", "9223372037s",
                           "2562048h", "99999999999999999999h", "1sm"}) {
    auto read = ParseDuration(text);
    EXPECT_FALSE(read) << text << " gave " << read->count();
  }
}

TEST(Duration, WritesAsGoDoesAndReadsItBack) {
  const std::pair<std::chrono::nanoseconds, const char*> cases[] = {
      {0s, "0s"},        {30s, "30s"},     {90s, "1m30s"},        {1h, "1h0m0s"},
      {1500ms, "1.5s"},  {250ms, "250ms"}, {1us, "1us"},          {1ns, "1ns"},
      {1100us, "1.1ms"}, {-90s, "-1m30s"}, {60001ms, "1m0.001s"}, {142min + 3s, "2h22m3s"},
  };
  for (const auto& [duration, text] : cases) {
    EXPECT_EQ(FormatDuration(duration), text);
    EXPECT_EQ(ParseDuration(FormatDuration(duration)), duration) << text;
  }
  auto longest = std::chrono::nanoseconds::max();
  EXPECT_EQ(ParseDuration(FormatDuration(longest)), longest);
}

}  // namespace
}  // namespace fairlead::config
