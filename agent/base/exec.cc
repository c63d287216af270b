// SPDX-License-Identifier: Apache-2.0
#include "agent/base/exec.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "agent/base/fd.h"

namespace fairlead {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kErrorsKept = 65536;

struct Pipe {
  Fd read, write;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

std::string PathOf(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = ::getenv("PATH");
  const std::string folders = std::string(path ? path : "/usr/bin:/bin") + ":/usr/sbin:/sbin";
  for (size_t begin = 0; begin < folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    std::string candidate = folders.substr(begin, end - begin) + "/" + program;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return {};
}

// A child in its own process group, so that what it starts ends with it.
class Process {
 public:
  explicit Process(pid_t pid) : pid_(pid) {}
  ~Process() {
    if (pid_ < 0) return;
    ::kill(-pid_, SIGKILL);
    Wait();
  }
  int Wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
};

Result<pid_t> Spawn(const ExecOptions& options, const std::string& path, int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& word : options.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, path.c_str(), &files, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return FailErrno(error, "{}", options.argv.front());
  return pid;
}

// A program that does not read its input is no harm: for as long as this lives, writing to it is EPIPE and no
// signal in this thread.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec at_once{};
    if (!sigismember(&before_, SIGPIPE)) ::sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

// Writes what the pipe takes; false when all is written or nobody reads.
bool Feed(int fd, std::string_view& input) {
  while (!input.empty()) {
    const ssize_t wrote = ::write(fd, input.data(), input.size());
    if (wrote < 0) return errno == EAGAIN || errno == EINTR;
    input.remove_prefix(static_cast<size_t>(wrote));
  }
  return false;
}

// Reads what there is; false at the end.
bool Collect(int fd, std::string& into) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  into.append(buffer.data(), static_cast<size_t>(got));
  return got > 0;
}

std::string LastLine(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const size_t line = text.rfind('\n');
  return std::string(line == std::string_view::npos ? text : text.substr(line + 1));
}

}  // namespace

Result<Executed> Execute(const ExecOptions& options) {
  const std::string path = PathOf(options.argv.front());
  if (path.empty()) return Fail(ErrorKind::kNotFound, "no {} in PATH", options.argv.front());
  auto in = MakePipe();
  auto out = MakePipe();
  auto err = MakePipe();
  for (const auto* made : {&in, &out, &err}) {
    if (!*made) return std::unexpected(made->error());
  }
  auto pid = Spawn(options, path, in->read.Get(), out->write.Get(), err->write.Get());
  if (!pid) return std::unexpected(pid.error());
  Process process(*pid);
  in->read.Reset();
  out->write.Reset();
  err->write.Reset();
  ::fcntl(in->write.Get(), F_SETFL, O_NONBLOCK);

  const NoSigpipe quiet;
  Executed executed;
  std::string_view input = options.input;
  if (input.empty()) in->write.Reset();
  const auto until = Clock::now() + options.deadline;
  while (out->read || err->read) {
    pollfd fds[] = {
        {in->write.Get(), POLLOUT, 0}, {out->read.Get(), POLLIN, 0}, {err->read.Get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) {
      return Fail(ErrorKind::kUnavailable, "{}: no end after {} s", options.argv.front(),
                  std::chrono::duration<double>(options.deadline).count());
    }
    ::poll(fds, std::size(fds), static_cast<int>(std::min<int64_t>(left, 60000)));
    if (fds[0].revents != 0 && !Feed(in->write.Get(), input)) in->write.Reset();
    if (fds[1].revents != 0 && !Collect(out->read.Get(), executed.output)) out->read.Reset();
    if (fds[2].revents != 0 && !Collect(err->read.Get(), executed.errors)) err->read.Reset();
    if (executed.errors.size() > 2 * kErrorsKept)
      executed.errors.erase(0, executed.errors.size() - kErrorsKept);
  }
  executed.status = process.Wait();
  return executed;
}

Result<std::string> ExecuteOrFail(const ExecOptions& options) {
  auto executed = Execute(options);
  if (!executed) return std::unexpected(executed.error());
  if (executed->status == 0) return std::move(executed->output);
  const std::string& program = options.argv.front();
  if (executed->status > 128) {
    return Fail(ErrorKind::kUnavailable, "{}: died of SIG{}", program,
                ::sigabbrev_np(executed->status - 128));
  }
  const std::string said = LastLine(executed->errors);
  return Fail(ErrorKind::kUnavailable, "{}: {}", program,
              said.empty() ? fmt::format("ended with status {}", executed->status) : said);
}

}  // namespace fairlead
