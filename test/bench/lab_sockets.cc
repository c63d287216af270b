// SPDX-License-Identifier: Apache-2.0
#include "test/bench/lab_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "test/bench/figures.h"

namespace fairlead::bench {
namespace {

constexpr timeval kPatience{5, 0};

template <typename T>
void SetOption(const Fd& socket, int level, int name, const T& value) {
  if (::setsockopt(socket.Get(), level, name, &value, sizeof(value)) != 0) DieOfErrno("setsockopt");
}

sockaddr_in At(uint32_t ip, uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(ip);
  at.sin_port = htons(port);
  return at;
}

}  // namespace

void Die(const std::string& what) {
  fmt::print(stderr, "bench: {}\n", what);
  std::exit(1);
}

void DieOfErrno(const std::string& what) {
  Die(fmt::format("{}: {}", what, std::strerror(errno)));
}

uint32_t ParseIpv4(const std::string& text) {
  in_addr ip{};
  if (::inet_pton(AF_INET, text.c_str(), &ip) != 1) Die(fmt::format("'{}' is no IPv4 address", text));
  return ntohl(ip.s_addr);
}

std::string FormatIpv4(uint32_t ip) {
  return fmt::format("{}.{}.{}.{}", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

void EnterNetns(const std::string& pin) {
  Fd netns(::open(pin.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns || ::setns(netns.Get(), CLONE_NEWNET) != 0) DieOfErrno(pin);
}

void EnterCgroup(const std::string& directory) {
  const std::string path = directory + "/cgroup.procs";
  Fd procs(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs || ::write(procs.Get(), "0", 1) != 1) DieOfErrno(path);
}

void Settle(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0) DieOfErrno(fmt::format("CPU {}", cpu));
  (void)::setpriority(PRIO_PROCESS, 0, -20);
}

Fd TcpSocket() {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) DieOfErrno("socket");
  SetOption(socket, SOL_SOCKET, SO_SNDTIMEO, kPatience);
  SetOption(socket, SOL_SOCKET, SO_RCVTIMEO, kPatience);
  return socket;
}

Fd Listen(uint16_t port) {
  Fd listener = TcpSocket();
  SetOption(listener, SOL_SOCKET, SO_REUSEADDR, 1);
  sockaddr_in at = At(INADDR_ANY, port);
  if (::bind(listener.Get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0 ||
      ::listen(listener.Get(), 128) != 0) {
    DieOfErrno(fmt::format("listen on port {}", port));
  }
  return listener;
}

void Connect(const Fd& client, uint32_t ip, uint16_t port) {
  sockaddr_in at = At(ip, port);
  if (::connect(client.Get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) {
    DieOfErrno(fmt::format("connect to {}:{}", FormatIpv4(ip), port));
  }
}

Fd Accept(const Fd& listener) {
  Fd server(::accept4(listener.Get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!server) DieOfErrno("accept");
  return server;
}

uint32_t LocalIp(const Fd& socket) {
  sockaddr_in at{};
  socklen_t length = sizeof(at);
  if (::getsockname(socket.Get(), reinterpret_cast<sockaddr*>(&at), &length) != 0) DieOfErrno("getsockname");
  return ntohl(at.sin_addr.s_addr);
}

void NoDelay(const Fd& socket) {
  SetOption(socket, IPPROTO_TCP, TCP_NODELAY, 1);
}

void CloseHard(Fd& socket) {
  SetOption(socket, SOL_SOCKET, SO_LINGER, linger{1, 0});
  socket.Reset();
}

void SendByte(const Fd& socket) {
  if (::send(socket.Get(), "x", 1, MSG_NOSIGNAL) != 1) DieOfErrno("send");
}

void ReceiveByte(const Fd& socket) {
  char byte;
  ssize_t got = ::recv(socket.Get(), &byte, 1, 0);
  if (got == 0) Die("receive: the peer closed");
  if (got < 0) DieOfErrno("receive");
}

void Stream(const Fd& from, const Fd& to, size_t bytes) {
  static std::array<char, 65536> buffer;
  const int64_t deadline = WallNs() + int64_t{kPatience.tv_sec} * 1'000'000'000;
  size_t sent = 0;
  for (size_t received = 0; received < bytes;) {
    size_t wanted = std::min(buffer.size(), bytes - sent);
    if (wanted > 0) {
      ssize_t n = ::send(from.Get(), buffer.data(), wanted, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN) DieOfErrno("send");
      if (n > 0) sent += static_cast<size_t>(n);
    }
    ssize_t n = ::recv(to.Get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n == 0) Die("receive: the peer closed");
    if (n < 0 && errno != EAGAIN) DieOfErrno("receive");
    if (n > 0) received += static_cast<size_t>(n);
    if (n < 0 && WallNs() > deadline) Die(fmt::format("stream stuck after {} of {} bytes", received, bytes));
  }
}

}  // namespace fairlead::bench
