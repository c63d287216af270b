// SPDX-License-Identifier: Apache-2.0
#include "agent/run/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace fairlead::run {

namespace {

Result<std::string> ReadWhole(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return FailErrno(errno, "read {}", path);
  return std::move(text).str();
}

// Seconds since the epoch at which the system booted.
Result<double> BootTime() {
  auto stat = ReadWhole("/proc/stat");
  if (!stat) return Unexpected(std::move(stat).error());
  size_t at = stat->find("\nbtime ");
  if (at == std::string::npos) return Fail(ErrorKind::kUnavailable, "read /proc/stat: no btime");
  return std::strtod(stat->c_str() + at + 7, nullptr);
}

}  // namespace

Result<ProcessUse> ReadProcessUse() {
  auto stat = ReadWhole("/proc/self/stat");
  if (!stat) return Unexpected(std::move(stat).error());
  auto boot_time = BootTime();
  if (!boot_time) return Unexpected(std::move(boot_time).error());

  // proc(5): "pid (comm) state …"; comm may hold anything, so fields are counted from the last parenthesis.
  size_t comm_end = stat->rfind(')');
  std::istringstream fields(comm_end == std::string::npos ? "" : stat->substr(comm_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  uint64_t user_ticks = 0, system_ticks = 0, start_ticks = 0, resident_pages = 0;
  ProcessUse use;
  fields >> user_ticks >> system_ticks;
  for (int field = 16; field < 22; ++field) fields >> skipped;
  fields >> start_ticks >> use.virtual_bytes >> resident_pages;
  if (!fields) return Fail(ErrorKind::kUnavailable, "read /proc/self/stat: fewer than 24 fields");

  auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  use.cpu_seconds = static_cast<double>(user_ticks + system_ticks) / ticks_per_second;
  use.start_time_s = *boot_time + static_cast<double>(start_ticks) / ticks_per_second;
  use.resident_bytes = resident_pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    ++use.open_fds;
  }
  if (use.open_fds > 0) --use.open_fds;  // the one that read the directory
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.max_fds = limit.rlim_cur;
  return use;
}

Result<void> SetOomScore(int score) {
  std::ofstream file("/proc/self/oom_score_adj");
  if (!(file << score << std::flush)) return FailErrno(errno, "set /proc/self/oom_score_adj to {}", score);
  return {};
}

void RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace fairlead::run
