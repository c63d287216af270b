// SPDX-License-Identifier: Apache-2.0
#include "agent/base/exec.h"

#include <gmock/gmock.h>

#include <csignal>
#include <string>

namespace fairlead {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

ExecOptions Shell(const std::string& script, std::string_view input = {}) {
  return {{"sh", "-c", script}, input, seconds(20)};
}

TEST(ExecTest, TheOutputTheErrorsAndTheStatusAreTheProgramsOwn) {
  auto done = Execute(Shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output, "out\n");
  EXPECT_EQ(done->errors, "err\n");
  EXPECT_EQ(done->status, 3);
}

TEST(ExecTest, MoreThanPipesHoldGoesInAndOut) {
  const std::string much(3 << 20, 'x');
  auto done = Execute({{"cat"}, much, seconds(20)});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output.size(), much.size());
  EXPECT_EQ(done->status, 0);
}

// Where SIGPIPE is not ignored it would end this test.
TEST(ExecTest, AProgramMayLeaveItsInputUnread) {
  ASSERT_NE(::signal(SIGPIPE, SIG_DFL), SIG_ERR);
  const std::string much(3 << 20, 'x');
  auto done = Execute({{"true"}, much, seconds(20)});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->status, 0);
}

TEST(ExecTest, ASignalThatEndsAProgramIsNamed) {
  auto done = ExecuteOrFail(Shell("kill -SEGV $$"));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "sh: died of SIGSEGV");
}

TEST(ExecTest, AFailureSaysTheLastLineOfTheErrors) {
  auto done = ExecuteOrFail(Shell("echo first >&2; echo the cause >&2; exit 1"));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "sh: the cause");
}

TEST(ExecTest, AFailureWithoutAWordSaysItsStatus) {
  auto done = ExecuteOrFail(Shell("exit 7"));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "sh: ended with status 7");
}

TEST(ExecTest, AProgramThatIsNotThereIsNotFound) {
  auto done = Execute({{"no-such-program"}, {}, seconds(1)});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(done.error().message, HasSubstr("no-such-program"));
}

TEST(ExecTest, AProgramThatDoesNotEndIsEndedWithWhatItStarted) {
  const auto began = std::chrono::steady_clock::now();
  auto done = Execute({{"sh", "-c", "sleep 60 & sleep 60"}, {}, milliseconds(200)});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(30));
}

}  // namespace
}  // namespace fairlead
