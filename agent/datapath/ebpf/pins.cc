// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

namespace fairlead::ebpf {

namespace {

constexpr long kBpfFsMagic = 0xcafe4a11;
constexpr long kCgroup2Magic = 0x63677270;

bool IsFileSystem(const std::string& path, long magic) {
  struct statfs fs{};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == magic;
}

Result<void> MakeDir(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return FailErrno(errno, "{}: mkdir", path);
}

std::vector<std::string> ListDir(const std::string& path) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

}  // namespace

std::string LinkName::ToString() const {
  if (device.empty()) return program;
  std::string escaped = device;
  std::ranges::replace(escaped, '.', ':');
  return program + "@" + escaped;
}

LinkName LinkName::Parse(std::string_view pin) {
  LinkName name;
  size_t at = pin.find('@');
  name.program = pin.substr(0, at);
  if (at != std::string_view::npos) name.device = pin.substr(at + 1);
  std::ranges::replace(name.device, ':', '.');
  return name;
}

Result<void> Pins::Prepare() const {
  const std::string root = "/sys/fs/bpf";
  std::string parent = std::filesystem::path(dir_).parent_path();
  if (!IsFileSystem(parent, kBpfFsMagic)) {
    if (dir_.starts_with(root + "/") && ::mount("bpf", root.c_str(), "bpf", 0, "mode=0700") != 0) {
      return FailErrno(errno, "--bpffs-dir {}: no bpffs is mounted on {}, and mounting one failed", dir_,
                       root);
    }
    if (!IsFileSystem(parent, kBpfFsMagic)) {
      return Fail(ErrorKind::kInvalid, "--bpffs-dir {}: {} is not in a bpffs; expected a folder below {}",
                  dir_, parent, root);
    }
  }
  for (const std::string& path : {dir_, dir_ + "/maps", dir_ + "/links", dir_ + "/programs"}) {
    if (auto made = MakeDir(path); !made) return made;
  }
  return {};
}

Result<Fd> Pins::Lock() const {
  Fd dir(::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return FailErrno(errno, "--bpffs-dir {}", dir_);
  for (int tenths = 0; tenths < 50; ++tenths) {
    if (::flock(dir.Get(), LOCK_EX | LOCK_NB) == 0) return dir;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return Fail(ErrorKind::kUnavailable, "--bpffs-dir {}: another fairlead is running on it", dir_);
}

Fd Pins::OpenMap(std::string_view table) const {
  return Fd(bpf_obj_get(MapPath(table).c_str()));
}

Result<void> Pins::PinMap(int map_fd, std::string_view table) const {
  return Pin(map_fd, MapPath(table));
}

Result<void> Pins::Pin(int fd, const std::string& path) {
  std::string fresh = path + "_new";
  ::unlink(fresh.c_str());
  if (bpf_obj_pin(fd, fresh.c_str()) != 0) return FailErrno(errno, "{}: pin", fresh);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return FailErrno(errno, "{}: rename to {}", fresh, path);
  return {};
}

void Pins::UnpinMap(std::string_view table) const {
  ::unlink(MapPath(table).c_str());
}

Result<void> Pins::Attach(const bpf_program* program, int cgroup_fd) const {
  std::string name = bpf_program__name(program);
  std::string path = LinkPath(name);
  struct stat cgroup{};
  if (::fstat(cgroup_fd, &cgroup) != 0) return FailErrno(errno, "{}: cgroup", name);

  Fd link(bpf_obj_get(path.c_str()));
  if (link) {
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    bool here =
        bpf_obj_get_info_by_fd(link.Get(), &info, &size) == 0 && info.cgroup.cgroup_id == cgroup.st_ino;
    // A link whose cgroup was removed is dead: it cannot be updated, and is replaced like one to another
    // cgroup.
    if (here && bpf_link_update(link.Get(), bpf_program__fd(program), nullptr) == 0) return {};
  }
  Fd fresh(bpf_link_create(bpf_program__fd(program), cgroup_fd, bpf_program__expected_attach_type(program),
                           nullptr));
  if (!fresh) return FailErrno(errno, "{}: attach to the cgroup", name);
  return Pin(fresh.Get(), path);
}

void Pins::Detach(const std::string& name) const {
  std::string path = LinkPath(name);
  Fd link(bpf_obj_get(path.c_str()));
  if (link) bpf_link_detach(link.Get());  // also where somebody else still holds the link
  ::unlink(path.c_str());
}

std::vector<std::string> Pins::Links() const {
  return ListDir(dir_ + "/links");
}

std::vector<std::string> Pins::Programs() const {
  return ListDir(dir_ + "/programs");
}

Result<void> Pins::RemoveAll() const {
  for (const std::string& link : Links()) Detach(link);
  for (const std::string& folder : {dir_ + "/links", dir_ + "/programs", dir_ + "/maps"}) {
    for (const std::string& name : ListDir(folder)) {
      std::string path = folder + "/" + name;
      if (::unlink(path.c_str()) != 0 && errno != ENOENT) return FailErrno(errno, "{}: unlink", path);
    }
    if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) return FailErrno(errno, "{}: rmdir", folder);
  }
  if (::rmdir(dir_.c_str()) != 0 && errno != ENOENT) return FailErrno(errno, "{}: rmdir", dir_);
  return {};
}

Result<Cgroup> OpenCgroup(const std::string& path) {
  Cgroup cgroup{Fd(), path, 0};
  if (path.empty()) {
    std::ifstream mounts("/proc/mounts");
    for (std::string line; std::getline(mounts, line) && cgroup.path.empty();) {
      std::istringstream fields(line);
      std::string device, where, type;
      fields >> device >> where >> type;
      if (type == "cgroup2") cgroup.path = where;
    }
    if (cgroup.path.empty())
      return Fail(ErrorKind::kUnsupported, "no cgroup2 mount in /proc/mounts; name one by --cgroup");
  }
  cgroup.fd = Fd(::open(cgroup.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.fd) return FailErrno(errno, "--cgroup {}", cgroup.path);
  if (!IsFileSystem(cgroup.path, kCgroup2Magic)) {
    return Fail(ErrorKind::kInvalid, "--cgroup {}: expected a folder of a cgroup2 mount", cgroup.path);
  }
  struct stat st{};
  if (::fstat(cgroup.fd.Get(), &st) != 0) return FailErrno(errno, "--cgroup {}", cgroup.path);
  cgroup.id = st.st_ino;
  return cgroup;
}

}  // namespace fairlead::ebpf
