// SPDX-License-Identifier: Apache-2.0
// Needs no right but to have a network namespace of its own; without it, it is skipped.
#include "agent/datapath/modes/only_one.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <thread>

namespace fairlead::modes {
namespace {

class OnlyOneTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "unshare: " << std::strerror(errno);
  }
};

TEST_F(OnlyOneTest, TheSecondIsToldWhoTheFirstIs) {
  auto first = ClaimNetns();
  ASSERT_TRUE(first) << first.error().message;
  auto second = ClaimNetns();
  ASSERT_FALSE(second);
  EXPECT_EQ(
      second.error().message,
      fmt::format("this network namespace: another fairlead is running on it (process {})", ::getpid()));
}

TEST_F(OnlyOneTest, OneThatLeavesIsWaitedFor) {
  auto first = ClaimNetns();
  ASSERT_TRUE(first);
  std::thread leaving([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    first->Reset();
  });
  EXPECT_TRUE(ClaimNetns());
  leaving.join();
}

TEST_F(OnlyOneTest, AnotherNamespaceIsAnothersBusiness) {
  auto first = ClaimNetns();
  ASSERT_TRUE(first);
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  EXPECT_TRUE(ClaimNetns());
}

}  // namespace
}  // namespace fairlead::modes
