// SPDX-License-Identifier: Apache-2.0
#include "agent/base/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/base/fd.h"

namespace fairlead {
namespace {

std::string& Folder() {
  static std::string folder = "/proc/sys";
  return folder;
}

}  // namespace

void UseSysctlsIn(std::string folder) {
  Folder() = std::move(folder);
}

std::string SysctlPath(std::string_view name) {
  return fmt::format("{}/{}", Folder(), name);
}

Result<std::string> ReadSysctl(std::string_view name) {
  const std::string path = SysctlPath(name);
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return FailErrno(errno, "{}", path);
  char text[4096];
  const ssize_t length = ::read(file.Get(), text, sizeof(text));
  if (length < 0) return FailErrno(errno, "{}", path);
  std::string value(text, static_cast<size_t>(length));
  while (value.ends_with('\n')) value.pop_back();
  return value;
}

Result<void> WriteSysctl(std::string_view name, std::string_view value) {
  const std::string path = SysctlPath(name);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file && errno == EROFS) {
    return Unexpected(Error{
        ErrorKind::kUnavailable, EROFS,
        fmt::format("{}: read-only here; mount the node's /proc/sys/net and name its parent in sysctlDir",
                    path)});
  }
  if (!file) return FailErrno(errno, "{}", path);
  // A setting takes what one write brings.
  if (::write(file.Get(), value.data(), value.size()) < 0)
    return FailErrno(errno, "{}: write {}", path, value);
  return {};
}

}  // namespace fairlead
