// SPDX-License-Identifier: Apache-2.0
#include "test/support/echo_server.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "test/support/sandbox.h"

namespace fairlead::test {

struct EchoServer::Socket {
  enum class Kind { kListener, kConnection, kDatagrams };
  Kind kind;
  Fd fd;
  std::string own;       // ip:port it serves
  std::string unsent{};  // of a connection
};

namespace {

Fd Bound(const Namespace& netns, const Target& at, Proto proto) {
  const int family = at.address.GetFamily() == Family::kIpv4 ? AF_INET : AF_INET6;
  const int type = IsStream(proto) ? SOCK_STREAM : SOCK_DGRAM;
  Fd fd = Sandbox::Get().Socket(netns, family, type | SOCK_NONBLOCK, ProtocolNumber(proto));
  const int on = 1;
  SocketAddress local = SocketAddress::Of(at, family);
  if (::setsockopt(fd.Get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
      ::bind(fd.Get(), local.Raw(), local.length) == 0 && (!IsStream(proto) || ::listen(fd.Get(), 1024) == 0))
    return fd;
  throw std::runtime_error(
      fmt::format("serve {} in {}: {}", at.ToString(), netns.Name(), std::strerror(errno)));
}

}  // namespace

EchoServer::EchoServer() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_.Get();
  ::epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, wake_.Get(), &event);
  thread_ = std::thread([this] { Loop(); });
}

EchoServer::~EchoServer() {
  ending_ = true;
  const uint64_t one = 1;
  if (::write(wake_.Get(), &one, sizeof(one)) != sizeof(one)) std::abort();  // the thread would never end
  thread_.join();
}

void EchoServer::Serve(const Namespace& netns, const Target& at) {
  const std::lock_guard lock(mutex_);
  if (counts_.contains(at.ToString())) return;
  Add(std::make_unique<Socket>(Socket::Kind::kListener, Bound(netns, at, Proto::kTcp), at.ToString()));
  Add(std::make_unique<Socket>(Socket::Kind::kDatagrams, Bound(netns, at, Proto::kUdp), at.ToString()));
  if (KernelHasSctp())
    Add(std::make_unique<Socket>(Socket::Kind::kListener, Bound(netns, at, Proto::kSctp), at.ToString()));
  counts_[at.ToString()] = 0;
}

void EchoServer::Stop(const Target& at) {
  const std::lock_guard lock(mutex_);
  std::erase_if(sockets_, [own = at.ToString()](const auto& entry) { return entry.second->own == own; });
  counts_.erase(at.ToString());
}

uint64_t EchoServer::Count(const Target& at) const {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(at.ToString());
  return found == counts_.end() ? 0 : found->second;
}

void EchoServer::Add(std::unique_ptr<Socket> socket) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = socket->fd.Get();
  ::epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, event.data.fd, &event);
  sockets_[event.data.fd] = std::move(socket);
}

void EchoServer::Loop() {
  epoll_event events[64];
  while (!ending_) {
    const int count = ::epoll_wait(epoll_.Get(), events, 64, -1);
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < count; ++i) {
      const auto found = sockets_.find(events[i].data.fd);
      if (found == sockets_.end()) continue;
      switch (found->second->kind) {
        case Socket::Kind::kListener:
          Accept(*found->second);
          break;
        case Socket::Kind::kDatagrams:
          Answer(*found->second);
          break;
        case Socket::Kind::kConnection:
          Echo(*found->second);
          break;
      }
    }
  }
}

void EchoServer::Accept(const Socket& listener) {
  SocketAddress peer;
  Fd fd(::accept4(listener.fd.Get(), peer.Raw(), &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return;  // the client gave up
  const std::string greeting = fmt::format("{} {}\n", listener.own, peer.ToTarget().ToString());
  if (::send(fd.Get(), greeting.data(), greeting.size(), MSG_NOSIGNAL) < 0) return;
  ++counts_[listener.own];
  Add(std::make_unique<Socket>(Socket::Kind::kConnection, std::move(fd), listener.own));
}

void EchoServer::Answer(const Socket& datagrams) {
  static char buffer[65536];  // one thread serves
  SocketAddress peer;
  const ssize_t length = ::recvfrom(datagrams.fd.Get(), buffer, sizeof(buffer), 0, peer.Raw(), &peer.length);
  if (length < 0) return;  // an ICMP error of an earlier answer, or nothing any more
  ++counts_[datagrams.own];
  const std::string answer = fmt::format("{} {}\n{}", datagrams.own, peer.ToTarget().ToString(),
                                         std::string_view(buffer, static_cast<size_t>(length)));
  ::sendto(datagrams.fd.Get(), answer.data(), answer.size(), MSG_NOSIGNAL, peer.Raw(), peer.length);
}

// Reads only when nothing is left to send, so that a client that does not read stops being read.
void EchoServer::Echo(Socket& connection) {
  const int fd = connection.fd.Get();
  static char buffer[65536];
  if (connection.unsent.empty()) {
    const ssize_t length = ::recv(fd, buffer, sizeof(buffer), 0);
    if (length == 0 || (length < 0 && errno != EAGAIN)) {
      sockets_.erase(fd);
      return;
    }
    if (length > 0) connection.unsent.assign(buffer, static_cast<size_t>(length));
  }
  const ssize_t sent = ::send(fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
  if (sent > 0) connection.unsent.erase(0, static_cast<size_t>(sent));
  epoll_event event{};
  event.events = connection.unsent.empty() ? EPOLLIN : EPOLLOUT;
  event.data.fd = fd;
  ::epoll_ctl(epoll_.Get(), EPOLL_CTL_MOD, fd, &event);
}

}  // namespace fairlead::test
