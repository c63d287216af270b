// SPDX-License-Identifier: Apache-2.0
// Plays every *.story of this folder (what a story is: test/support/ebpf/story.h). With
// FAIRLEAD_UPDATE_STORIES=1 the expectations are rewritten with what came out; read the diff.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "test/support/ebpf/story.h"

namespace fairlead::test {
namespace {

std::vector<std::filesystem::path> Stories() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(FAIRLEAD_SOURCE_DIR "/test/story")) {
    if (entry.path().extension() == ".story") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class StoryTest : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(StoryTest, EndsAsItSays) {
  std::stringstream told;
  told << std::ifstream(GetParam()).rdbuf();
  std::string played;
  ASSERT_NO_THROW(played = Replay(told.str())) << GetParam();
  if (std::getenv("FAIRLEAD_UPDATE_STORIES")) {
    std::ofstream(GetParam()) << played;
  } else {
    EXPECT_EQ(played, told.str()) << GetParam();
  }
}

INSTANTIATE_TEST_SUITE_P(Stories, StoryTest, testing::ValuesIn(Stories()), [](const auto& file) {
  std::string name = file.param.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Stories, AreThere) {
  EXPECT_GE(Stories().size(), 12U);
}

TEST(Replay, ALineThatIsNoStoryIsNamed) {
  EXPECT_THROW(
      {
        try {
          Replay("# one\nservce shop/cart\n");
        } catch (const std::runtime_error& error) {
          EXPECT_STREQ(error.what(), "line 2: unknown line: servce shop/cart");
          throw;
        }
      },
      std::runtime_error);
}

TEST(Replay, AWrongExpectationIsReplaced) {
  EXPECT_EQ(Replay("tables:\n  10.0.0.1:80/TCP -> shop/cart:http\n"), "tables:\n");
}

}  // namespace
}  // namespace fairlead::test
