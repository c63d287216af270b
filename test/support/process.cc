// SPDX-License-Identifier: Apache-2.0
#include "test/support/process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

namespace fairlead::test {
namespace {

int Status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

std::vector<char*> Pointers(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const auto& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// An anonymous file: unlike a pipe it never blocks either side.
Fd Memory(std::string_view text) {
  Fd fd(::memfd_create("fairlead-test", MFD_CLOEXEC));
  if (!fd || ::write(fd.Get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(fd.Get(), 0, SEEK_SET) != 0)
    throw std::runtime_error(fmt::format("memfd: {}", std::strerror(errno)));
  return fd;
}

std::string Contents(const Fd& fd) {
  struct stat about{};
  if (::fstat(fd.Get(), &about) != 0) return {};
  std::string text(static_cast<size_t>(about.st_size), '\0');
  const ssize_t length = ::pread(fd.Get(), text.data(), text.size(), 0);
  text.resize(length < 0 ? 0 : static_cast<size_t>(length));
  return text;
}

// Between fork and exec, in a program with threads: only async-signal-safe calls.
[[noreturn]] void Become(char* const* argv, int netns, int cgroup, int log) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const bool placed = (cgroup < 0 || ::write(cgroup, "0", 1) == 1) &&
                      (netns < 0 || ::setns(netns, CLONE_NEWNET) == 0) && ::dup2(log, STDOUT_FILENO) >= 0 &&
                      ::dup2(log, STDERR_FILENO) >= 0;
  if (placed) ::execv(argv[0], argv);
  ::_exit(127);
}

}  // namespace

Finished Run(const std::vector<std::string>& argv, std::string_view input) {
  const Fd in = Memory(input);
  const Fd out = Memory({});
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.Get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.Get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.Get(), STDERR_FILENO);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, argv.at(0).c_str(), &actions, nullptr, Pointers(argv).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error(fmt::format("start {}: {}", argv[0], std::strerror(error)));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return {Status(status), Contents(out)};
}

Child Child::Start(const ChildOptions& options) {
  const Fd log(::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) throw std::runtime_error(fmt::format("{}: {}", options.log, std::strerror(errno)));
  Fd cgroup;
  if (!options.cgroup.empty()) {
    cgroup = Fd(::open((options.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!cgroup) throw std::runtime_error(fmt::format("{}: {}", options.cgroup, std::strerror(errno)));
  }
  const auto argv = Pointers(options.argv);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error(fmt::format("fork: {}", std::strerror(errno)));
  if (pid == 0)
    Become(argv.data(), options.netns ? options.netns->FileDescriptor() : -1, cgroup.Get(), log.Get());
  return Child(pid);
}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(status_, other.status_);
  return *this;
}

Child::~Child() {
  if (pid_ < 0 || !Running()) return;
  Signal(SIGKILL);
  Wait(std::chrono::seconds(10));
}

bool Child::Running() {
  return !Wait(std::chrono::milliseconds(0));
}

void Child::Signal(int signal) const {
  if (pid_ > 0 && !status_) ::kill(pid_, signal);
}

std::optional<int> Child::Wait(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!status_ && pid_ > 0) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      status_ = Status(status);
      break;
    }
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return status_;
}

}  // namespace fairlead::test
