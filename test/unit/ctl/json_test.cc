// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/json.h"

#include <gtest/gtest.h>

#include "agent/ctl/text_table.h"

namespace fairlead::ctl {
namespace {

TEST(JsonTest, EscapesWhatJsonForbidsInText) {
  EXPECT_EQ(JsonQuote("a\"b\\c\n\x01\x7f"), R"("a\"b\\c\n\u0001\u007f")");
}

TEST(JsonTest, BytesOutsideAsciiCannotMakeTheDocumentInvalid) {
  EXPECT_EQ(JsonQuote("\xff"), R"("\ufffd")");
}

TEST(JsonTest, NestsWithCommasBetweenAndNoneAtTheEnd) {
  JsonWriter json;
  json.BeginArray().BeginObject().Member("n", 1).Member("b", true).BeginArray("empty").EndArray().EndObject();
  json.BeginObject().EndObject().Member("", "x").EndArray();
  EXPECT_EQ(std::move(json).Take(), R"([
  {
    "n": 1,
    "b": true,
    "empty": []
  },
  {},
  "x"
]
)");
}

TEST(JsonTest, NumbersKeepAllTheirDigits) {
  JsonWriter json;
  json.BeginObject().Member("n", UINT64_MAX).EndObject();
  EXPECT_EQ(std::move(json).Take(), "{\n  \"n\": 18446744073709551615\n}\n");
}

TEST(TextTableTest, AlignsColumnsAndEndsLinesWithoutBlanks) {
  TextTable table({{"NAME"}, {"N", Align::kRight}, {"LAST"}});
  table.Add({"a-long-name", "7", ""});
  table.Add({"b", "1234", "x"});
  EXPECT_EQ(table.Render(),
            "NAME            N  LAST\n"
            "a-long-name     7  -\n"
            "b            1234  x\n");
}

}  // namespace
}  // namespace fairlead::ctl
