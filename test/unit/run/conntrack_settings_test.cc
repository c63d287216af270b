// SPDX-License-Identifier: Apache-2.0
// What of the configuration is set on nf_conntrack, and what is left alone.
#include "agent/run/conntrack_settings.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/base/sysctl.h"

namespace fairlead::run {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;

Options Untouched() {
  Options options;
  options.conntrack = {0, 0, milliseconds(0), milliseconds(0), milliseconds(0), milliseconds(0)};
  return options;
}

TEST(ConntrackSettings, ZerosLeaveTheKernelsOwn) {
  EXPECT_THAT(ConntrackSettings(Untouched(), 8), IsEmpty());
}

TEST(ConntrackSettings, TheTableGrowsWithTheCoresWithinBounds) {
  Options options = Untouched();
  options.conntrack.max_per_core = 32768;
  options.conntrack.min = 131072;
  const auto entries = [&](uint32_t cores) { return ConntrackSettings(options, cores).at(0); };
  EXPECT_EQ(entries(2), (ConntrackSetting{"net/netfilter/nf_conntrack_max", 131072, true}));
  EXPECT_EQ(entries(8).value, 262144U);
  EXPECT_EQ(entries(128).value, 1048576U) << "the most that cores ask for";
  options.conntrack.min = 2000000;
  EXPECT_EQ(entries(128).value, 2000000U);
}

TEST(ConntrackSettings, TimesAreWholeSeconds) {
  Options options = Untouched();
  options.conntrack.udp_timeout = milliseconds(30900);
  options.conntrack_tcp_be_liberal = true;
  EXPECT_THAT(ConntrackSettings(options, 1),
              testing::ElementsAre(ConntrackSetting{"net/netfilter/nf_conntrack_udp_timeout", 30, false},
                                   ConntrackSetting{"net/netfilter/nf_conntrack_tcp_be_liberal", 1, false}));
}

// A folder in place of /proc/sys.
class KeptConntrackTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_ + "/net/netfilter");
    UseSysctlsIn(folder_);
  }
  void TearDown() override {
    UseSysctlsIn("/proc/sys");
    std::filesystem::remove_all(folder_);
  }
  void Write(const std::string& text) const { std::ofstream(folder_ + "/net/netfilter/x") << text << "\n"; }
  static std::string Read() { return ReadSysctl("net/netfilter/x").value_or("none"); }

  const std::string folder_ = testing::TempDir() + "/fairlead-sysctl-" + std::to_string(::getpid());
};

TEST_F(KeptConntrackTest, ALargerTableStays) {
  Write("500");
  KeptConntrack({{"net/netfilter/x", 400, true}}).Try();
  EXPECT_EQ(Read(), "500");
  KeptConntrack({{"net/netfilter/x", 600, true}}).Try();
  EXPECT_EQ(Read(), "600");
}

TEST_F(KeptConntrackTest, ATimeIsSetEitherWay) {
  Write("500");
  KeptConntrack({{"net/netfilter/x", 400, false}}).Try();
  EXPECT_EQ(Read(), "400");
}

TEST_F(KeptConntrackTest, WhatIsNotThereYetIsSetWhenItComes) {
  KeptConntrack kept({{"net/netfilter/x", 400, false}});
  kept.Try();
  EXPECT_EQ(Read(), "none");
  Write("500");
  kept.Try();
  EXPECT_EQ(Read(), "400");
}

TEST_F(KeptConntrackTest, WhatIsSetIsLeftToTheOperatorAfterwards) {
  Write("500");
  KeptConntrack kept({{"net/netfilter/x", 400, false}});
  kept.Try();
  Write("300");
  kept.Try();
  EXPECT_EQ(Read(), "300");
}

}  // namespace
}  // namespace fairlead::run
