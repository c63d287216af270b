// SPDX-License-Identifier: Apache-2.0
// The programs' time as the agent asks for it.
#include "agent/datapath/ebpf/clock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace fairlead::ebpf {
namespace {

using namespace std::chrono_literals;

TEST(Clock, JiffiesPassAtTheRateItTells) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto clock = Clock::Open();
  ASSERT_TRUE(clock.has_value()) << clock.error().message;
  const auto began = std::chrono::steady_clock::now();
  const uint64_t first = clock->Jiffies().value();
  std::this_thread::sleep_for(400ms);
  const uint64_t last = clock->Jiffies().value();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  // The rates in use (100, 250, 300, 1000) are 20 % apart at least.
  EXPECT_NEAR(static_cast<double>(last - first), seconds * clock->jiffies_per_s(),
              0.08 * seconds * clock->jiffies_per_s() + 2);
}

TEST(Clock, ATickIsAPowerOfTwoOfJiffies) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto clock = Clock::Open();
  ASSERT_TRUE(clock.has_value()) << clock.error().message;
  const uint64_t before = clock->Jiffies().value() >> 8;
  const uint32_t tick = clock->NowTick(8).value();
  const uint64_t after = clock->Jiffies().value() >> 8;
  EXPECT_GE(tick, static_cast<uint32_t>(before));
  EXPECT_LE(tick, static_cast<uint32_t>(after));
}

}  // namespace
}  // namespace fairlead::ebpf
