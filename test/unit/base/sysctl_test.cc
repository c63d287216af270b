// SPDX-License-Identifier: Apache-2.0
#include "agent/base/sysctl.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace fairlead {
namespace {

// A folder in the place of /proc/sys, for one test.
class SysctlTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/fairlead-sysctl-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    std::filesystem::create_directories(folder_ + "/net/ipv4");
    std::ofstream(folder_ + "/net/ipv4/ip_forward") << "0\n";
    UseSysctlsIn(folder_);
  }
  void TearDown() override {
    UseSysctlsIn("/proc/sys");
    std::filesystem::remove_all(folder_);
  }

 private:
  std::string folder_;
};

TEST_F(SysctlTest, IsReadWithoutItsNewline) {
  EXPECT_EQ(ReadSysctl("net/ipv4/ip_forward").value(), "0");
}

TEST_F(SysctlTest, IsWrittenWhereTheProcessSaid) {
  ASSERT_TRUE(WriteSysctl("net/ipv4/ip_forward", "1"));
  EXPECT_EQ(ReadSysctl("net/ipv4/ip_forward").value().front(), '1');
}

TEST_F(SysctlTest, OneThatIsNotThereIsNamed) {
  const auto read = ReadSysctl("net/ipv4/vs/conntrack");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(read.error().message.find("net/ipv4/vs/conntrack: No such file"), std::string::npos)
      << read.error().message;
  EXPECT_FALSE(WriteSysctl("net/ipv4/vs/conntrack", "1"));
}

TEST(Sysctl, TheKernelsOwnAreInProc) {
  EXPECT_FALSE(ReadSysctl("kernel/osrelease").value().empty());
}

}  // namespace
}  // namespace fairlead
