// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/host.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include <fmt/format.h>

namespace fairlead::ctl {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> CgroupMounts() {
  std::vector<std::string> paths;
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device, where, type;
    fields >> device >> where >> type;
    if (type == "cgroup2") paths.push_back(where);
  }
  return paths;
}

bool HasId(const std::string& path, uint64_t id) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && st.st_ino == id;
}

}  // namespace

bool IsAgent(uint32_t pid) {
  if (pid == 0) return false;
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  return std::getline(file, name) && name == "fairlead";
}

std::string FindCgroup(uint64_t id) {
  if (id == 0) return {};
  for (const std::string& root : CgroupMounts()) {
    if (HasId(root, id)) return root;
    std::error_code error;
    fs::recursive_directory_iterator it(root, fs::directory_options::skip_permission_denied, error);
    for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
      std::error_code gone;  // cgroups come and go while we walk
      if (it->is_directory(gone) && HasId(it->path(), id)) return it->path();
    }
  }
  return {};
}

}  // namespace fairlead::ctl
