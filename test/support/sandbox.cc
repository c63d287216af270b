// SPDX-License-Identifier: Apache-2.0
#include "test/support/sandbox.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "test/support/netns.h"

namespace fairlead::test {
namespace {

namespace fs = std::filesystem;

constexpr char kBpffs[] = "/sys/fs/bpf";
constexpr unsigned kBpffsMagic = 0xcafe4a11;
constexpr char kFolder[] = "fairlead-test-";  // of cgroup, bpffs and scratch
constexpr char kNetns[] = "fl";

// Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside v1 controllers.
std::optional<std::string> CgroupMount() {
  std::ifstream mounts("/proc/mounts");
  std::string device, path, type, rest;
  while (mounts >> device >> path >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return path;
  }
  return std::nullopt;
}

// The cgroup v2 of this process, as a folder.
std::string OwnCgroup(const std::string& mount) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line == "0::/" ? mount : mount + line.substr(3);
  }
  throw std::runtime_error("/proc/self/cgroup: no cgroup v2 entry");
}

void Enter(const std::string& cgroup) {
  std::ofstream procs(cgroup + "/cgroup.procs");
  procs << ::getpid() << std::flush;
  if (!procs) throw std::runtime_error(fmt::format("enter cgroup {}: {}", cgroup, std::strerror(errno)));
}

void RemoveTree(const fs::path& path) {
  std::error_code ignored;  // bpffs and tmpfs: whatever stays is found again by the next sweep
  fs::remove_all(path, ignored);
}

// The process id in "<prefix><pid>..." if that process is gone.
std::optional<pid_t> DeadOwner(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  pid_t pid = 0;
  const char* digits = name.data() + prefix.size();
  if (std::from_chars(digits, name.data() + name.size(), pid).ec != std::errc()) return std::nullopt;
  return fs::exists(fmt::format("/proc/{}", pid)) ? std::nullopt : std::optional(pid);
}

void Sweep(const std::string& folder, std::string_view prefix, void (*remove)(const fs::path&)) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (DeadOwner(entry.path().filename().string(), prefix)) remove(entry.path());
  }
}

void SweepAll(const std::string& cgroup_mount) {
  Sweep("/run/netns", kNetns, [](const fs::path& path) { UnpinNamespaces(path.filename().string()); });
  Sweep(kBpffs, kFolder, [](const fs::path& path) { RemoveTree(path); });
  Sweep(fs::temp_directory_path(), kFolder, [](const fs::path& path) { RemoveTree(path); });
  Sweep(cgroup_mount, kFolder, [](const fs::path& path) {
    ::rmdir((path / "empty").c_str());
    ::rmdir(path.c_str());
  });
}

void MountBpffs() {
  struct statfs about{};
  if (::statfs(kBpffs, &about) == 0 && static_cast<unsigned>(about.f_type) == kBpffsMagic) return;
  if (::mount("bpf", kBpffs, "bpf", 0, nullptr) != 0)
    throw std::runtime_error(fmt::format("mount {}: {}", kBpffs, std::strerror(errno)));
}

}  // namespace

std::optional<std::string> WhyNoLab() {
  if (::geteuid() != 0) return "needs root: network namespaces and BPF";
  if (!CgroupMount()) return "needs a cgroup2 mount";
  return std::nullopt;
}

Sandbox& Sandbox::Get() {
  static Sandbox sandbox;
  return sandbox;
}

std::string Sandbox::NamePrefix() {
  return fmt::format("{}{}-{}-", kNetns, ::getpid(), ++labs_);
}

std::string Sandbox::BuildDir() {
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path();
}

void Sandbox::RemovePins(const std::string& folder) {
  RemoveTree(folder);
}

std::string Sandbox::EmptyCgroup() const {
  const std::string empty = cgroup_ + "/empty";
  fs::create_directory(empty);
  return empty;
}

Fd Sandbox::Socket(const Namespace& netns, int family, int type, int protocol, bool seen) {
  type |= SOCK_CLOEXEC;
  if (!seen || netns.OfMachine() == Machine::kOther)
    return outsider_.Socket(netns.FileDescriptor(), family, type, protocol);
  const NetnsScope inside(netns);
  Fd made(::socket(family, type, protocol));
  if (!made) throw std::runtime_error(fmt::format("socket in {}: {}", netns.Name(), std::strerror(errno)));
  return made;
}

Sandbox::Sandbox() {
  const auto mount = CgroupMount();
  if (!mount) throw std::runtime_error("no cgroup2 mount");
  const std::string own = fmt::format("{}{}", kFolder, ::getpid());
  cgroup_ = *mount + "/" + own;
  home_cgroup_ = OwnCgroup(*mount);
  bpffs_dir_ = std::string(kBpffs) + "/" + own;
  scratch_ = fs::temp_directory_path() / own;

  sigset_t endings;
  sigemptyset(&endings);
  sigaddset(&endings, SIGINT);
  sigaddset(&endings, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &endings, nullptr);  // threads made from here on inherit it
  std::thread([endings] {
    int signal = 0;
    ::sigwait(&endings, &signal);
    Sandbox::Get().TakeDown();
    ::_exit(128 + signal);
  }).detach();

  MountBpffs();
  SweepAll(*mount);
  fs::create_directories(scratch_);
  fs::create_directory(cgroup_);
  Enter(cgroup_);
}

void Sandbox::TakeDown() const {
  RemovePins(bpffs_dir_);
  RemovePins(SecondBpffsDir());
  UnpinNamespaces(fmt::format("{}{}-", kNetns, ::getpid()));
  RemoveTree(scratch_);
  try {
    Enter(home_cgroup_);
  } catch (const std::exception&) {
    return;  // the cgroup cannot go while we are in it
  }
  ::rmdir((cgroup_ + "/empty").c_str());
  ::rmdir(cgroup_.c_str());
}

}  // namespace fairlead::test
