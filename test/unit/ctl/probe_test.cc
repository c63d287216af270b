// SPDX-License-Identifier: Apache-2.0
// The probes against the kernel the test runs on. Without root they answer "error", which is tested too.
#include "agent/datapath/ebpf/probe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

namespace fairlead::ebpf {
namespace {

std::map<std::string, ProbeResult> ByName(const std::vector<ProbeResult>& results) {
  std::map<std::string, ProbeResult> by_name;
  for (const ProbeResult& result : results) {
    EXPECT_TRUE(by_name.emplace(result.name, result).second) << result.name << " twice";
  }
  return by_name;
}

ptrdiff_t OpenFiles() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

TEST(ProbeTest, EveryProbeHasAMeaningAndARefusalItsCause) {
  for (const ProbeResult& result : ProbeKernel({})) {
    EXPECT_FALSE(result.meaning.empty()) << result.name;
    EXPECT_TRUE(result.outcome == Outcome::kYes || !result.detail.empty()) << result.name;
  }
}

// The programs use all of it: a probe that says no beside programs that load is wrong.
TEST(ProbeTest, ProgramsThatLoadProveEveryAbilityTheyUse) {
  auto by_name = ByName(ProbeKernel({}));
  if (by_name.at("capabilities").outcome != Outcome::kYes) GTEST_SKIP() << by_name.at("capabilities").detail;
  if (by_name.at("programs").outcome != Outcome::kYes) GTEST_SKIP() << by_name.at("programs").detail;
  for (const char* name :
       {"bpf_syscall", "btf", "cgroup_connect", "cgroup_sendmsg", "cgroup_recvmsg", "cgroup_getpeername",
        "mmap_array", "set_retval", "socket_storage", "netns_cookie", "storage_iterator"}) {
    EXPECT_EQ(by_name.at(name).outcome, Outcome::kYes) << name << ": " << by_name.at(name).detail;
  }
}

TEST(ProbeTest, AMissingCgroupIsTheReason) {
  ProbeOptions options;
  options.cgroup = "/proc";
  auto results = ProbeKernel(options);
  auto cgroup = ByName(results).at("cgroup2");
  EXPECT_EQ(cgroup.outcome, Outcome::kNo);
  EXPECT_EQ(cgroup.detail, "--cgroup /proc: expected a folder of a cgroup2 mount");
  EXPECT_FALSE(CanRunEbpf(results, nullptr));
}

TEST(ProbeTest, ABpffsDirOutsideAnyBpffsIsAReason) {
  ProbeOptions options;
  options.bpffs_dir = "/proc/fairlead";
  auto results = ProbeKernel(options);
  EXPECT_EQ(ByName(results).at("bpffs").outcome, Outcome::kNo);
  EXPECT_FALSE(CanRunEbpf(results, nullptr));
}

TEST(ProbeTest, LeavesNoFileOpen) {
  (void)ProbeKernel({});
  const ptrdiff_t before = OpenFiles();
  (void)ProbeKernel({});
  EXPECT_EQ(OpenFiles(), before);
}

}  // namespace
}  // namespace fairlead::ebpf
