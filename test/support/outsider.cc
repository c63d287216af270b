// SPDX-License-Identifier: Apache-2.0
#include "test/support/outsider.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace fairlead::test {
namespace {

struct Request {
  int family = 0, type = 0, protocol = 0;
};
struct Reply {
  int error = 0;
};

// One message with at most one descriptor, which stays the caller's.
template <typename Message>
bool Send(int channel, Message message, int descriptor) {
  iovec part{&message, sizeof(message)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* passed = CMSG_FIRSTHDR(&header);
    passed->cmsg_level = SOL_SOCKET;
    passed->cmsg_type = SCM_RIGHTS;
    passed->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(passed), &descriptor, sizeof(int));
  }
  return ::sendmsg(channel, &header, MSG_NOSIGNAL) == sizeof(message);
}

// False at the end of the channel.
template <typename Message>
bool Receive(int channel, Message& message, Fd& descriptor) {
  iovec part{&message, sizeof(message)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  if (::recvmsg(channel, &header, MSG_CMSG_CLOEXEC) != sizeof(message)) return false;
  int passed = -1;
  if (const cmsghdr* first = CMSG_FIRSTHDR(&header)) std::memcpy(&passed, CMSG_DATA(first), sizeof(int));
  descriptor = Fd(passed);
  return true;
}

// The child: ends with the channel, and with its parent.
[[noreturn]] void Serve(int channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Request wanted;
  Fd netns;
  while (Receive(channel, wanted, netns)) {
    const bool entered = ::setns(netns.Get(), CLONE_NEWNET) == 0;
    const Fd made(entered ? ::socket(wanted.family, wanted.type, wanted.protocol) : -1);
    netns.Reset();  // the namespace must go when the test lets it
    if (!Send(channel, Reply{made ? 0 : errno}, made.Get())) break;
  }
  ::_exit(0);
}

}  // namespace

Outsider::Outsider() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error(fmt::format("socketpair: {}", std::strerror(errno)));
  channel_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(fmt::format("fork: {}", std::strerror(errno)));
  if (pid_ == 0) {
    channel_.Reset();
    Serve(theirs.Get());
  }
}

Outsider::~Outsider() {
  channel_.Reset();
  ::waitpid(pid_, nullptr, 0);
}

Fd Outsider::Socket(int netns, int family, int type, int protocol) {
  const std::lock_guard lock(mutex_);
  Reply reply;
  Fd made;
  if (!Send(channel_.Get(), Request{family, type, protocol}, netns) ||
      !Receive(channel_.Get(), reply, made) || !made)
    throw std::runtime_error(fmt::format("socket outside the test's cgroup: {}", std::strerror(reply.error)));
  return made;
}

}  // namespace fairlead::test
