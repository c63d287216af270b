// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/only_one.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>

#include "agent/base/log.h"

namespace fairlead::modes {

namespace {

constexpr std::chrono::milliseconds kPause{50};
constexpr int kTries = 100;  // 5 s: as long as an agent may take to end

struct Name {
  sockaddr_un address{};
  socklen_t size = 0;
};

Name OurName() {
  constexpr std::string_view kName("\0fairlead", 9);
  Name name;
  name.address.sun_family = AF_UNIX;
  std::memcpy(name.address.sun_path, kName.data(), kName.size());
  name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kName.size());
  return name;
}

Result<Fd> Bind() {
  const Name name = OurName();
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return FailErrno(errno, "socket");
  if (::bind(socket.Get(), reinterpret_cast<const sockaddr*>(&name.address), name.size) != 0 ||
      ::listen(socket.Get(), SOMAXCONN) != 0)
    return FailErrno(errno, "@fairlead");
  return socket;
}

// Who has the name; nothing if nobody answers.
std::optional<ucred> Holder() {
  const Name name = OurName();
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ucred who{};
  socklen_t size = sizeof(who);
  if (!socket || ::connect(socket.Get(), reinterpret_cast<const sockaddr*>(&name.address), name.size) != 0 ||
      ::getsockopt(socket.Get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
    return std::nullopt;
  return who;
}

}  // namespace

Result<Fd> ClaimNetns() {
  std::optional<ucred> holder;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    auto bound = Bind();
    if (bound || bound.error().code != EADDRINUSE) return bound;
    if (!holder) holder = Holder();  // once: nobody accepts, and the queue is not endless
    // Anybody may take the name. Who is not root cannot be an agent, and must not keep one from its work.
    if (holder && holder->uid != 0) {
      spdlog::warn("process {} of user {} has the name @fairlead: whether another agent runs is not known",
                   holder->pid, holder->uid);
      return Fd();
    }
    std::this_thread::sleep_for(kPause);
  }
  return Fail(ErrorKind::kUnavailable,
              "this network namespace: another fairlead is running on it (process {})",
              holder ? holder->pid : 0);
}

}  // namespace fairlead::modes
