// SPDX-License-Identifier: Apache-2.0
#include "agent/config/text.h"

#include <gmock/gmock.h>

#include <array>

namespace fairlead::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(IsUtf8, TellsWellFormedFromRubbish) {
  for (const char* good :
       {"", "abc", "\xc3\xa9", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << Quote(good);
  }
  for (const char* bad : {"\x80", "\xc3", "\xc3(", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                          "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_FALSE(IsUtf8(bad)) << Quote(bad);
  }
}

TEST(Quote, IsFitForALogLine) {
  EXPECT_EQ(Quote("a\nb\t\x7f"), R"("a\x0ab\x09\x7f")");
  EXPECT_EQ(Quote("say \"hi\" \\"), R"("say \"hi\" \\")");
  EXPECT_EQ(Quote("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
  EXPECT_EQ(Quote("caf\xc3"), R"("caf\xc3")");
  EXPECT_EQ(Quote(std::string(100, 'x')), "\"" + std::string(80, 'x') + "...\"");
  // A letter at the cut is left out whole.
  EXPECT_EQ(Quote(std::string(79, 'x') + "\xc3\xa9" + "yyy"), "\"" + std::string(79, 'x') + "...\"");
}

TEST(Nearest, FindsASlipAndNothingFartherOff) {
  constexpr std::array<std::string_view, 4> known = {"cluster-cidr", "cleanup", "config", "v"};
  EXPECT_EQ(Nearest("cluster-cdir", known), "cluster-cidr");
  EXPECT_EQ(Nearest("Config", known), "config");
  EXPECT_EQ(Nearest("cleanups", known), "cleanup");
  EXPECT_EQ(Nearest("frobnicate", known), "");
  EXPECT_EQ(Nearest("x", known), "");
  EXPECT_EQ(Nearest(std::string(100000, 'c'), known), "");
}

TEST(SplitList, TrimsItsPieces) {
  EXPECT_THAT(SplitList(" a, b ,c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(SplitList("a,,b"), ElementsAre("a", "", "b"));
  EXPECT_THAT(SplitList(" "), IsEmpty());
}

}  // namespace
}  // namespace fairlead::config
