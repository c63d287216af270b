// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/sysctls.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "agent/base/sysctl.h"

namespace fairlead::ipvs {
namespace {

// A folder in the place of /proc/sys, for one test.
class SettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/fairlead-ipvs-sysctls-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    for (const char* name : {"net/ipv4/ip_forward", "net/ipv4/vs/conntrack", "net/ipv4/vs/expire_nodest_conn",
                             "net/ipv4/vs/expire_quiescent_template", "net/ipv4/vs/conn_reuse_mode",
                             "net/ipv4/conf/all/arp_ignore", "net/ipv4/conf/all/arp_announce"}) {
      std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
      std::ofstream(folder_ + "/" + name) << "0\n";
    }
    UseSysctlsIn(folder_);
  }
  void TearDown() override {
    UseSysctlsIn("/proc/sys");
    std::filesystem::remove_all(folder_);
  }
  static std::string Of(const char* name) { return ReadSysctl(name).value().substr(0, 1); }

  std::string folder_;
};

TEST_F(SettingsTest, WhatIpvsNeedsIsSetAndArpIsLeftAlone) {
  ASSERT_TRUE(SetKernelSettings(false));
  for (const char* name : {"net/ipv4/ip_forward", "net/ipv4/vs/conntrack", "net/ipv4/vs/expire_nodest_conn",
                           "net/ipv4/vs/expire_quiescent_template", "net/ipv4/vs/conn_reuse_mode"}) {
    EXPECT_EQ(Of(name), "1") << name;
  }
  EXPECT_EQ(Of("net/ipv4/conf/all/arp_ignore"), "0");
  EXPECT_EQ(Of("net/ipv4/conf/all/arp_announce"), "0");
}

TEST_F(SettingsTest, StrictArpIsSetWhereItIsAskedFor) {
  ASSERT_TRUE(SetKernelSettings(true));
  EXPECT_EQ(Of("net/ipv4/conf/all/arp_ignore"), "1");
  EXPECT_EQ(Of("net/ipv4/conf/all/arp_announce"), "2");
}

TEST_F(SettingsTest, OneTheModeCanServeWithoutIsNoError) {
  std::filesystem::remove(folder_ + "/net/ipv4/vs/conn_reuse_mode");
  EXPECT_TRUE(SetKernelSettings(false));
}

TEST_F(SettingsTest, OneItNeedsIsAndSaysWhatFor) {
  std::filesystem::remove(folder_ + "/net/ipv4/vs/conntrack");
  const auto set = SetKernelSettings(false);
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().message, "what IPVS translates is masqueraded by nf_conntrack: " + folder_ +
                                     "/net/ipv4/vs/conntrack: No such file or directory");
}

}  // namespace
}  // namespace fairlead::ipvs
