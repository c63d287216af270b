// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/agent_metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <charconv>
#include <string>

#include <fmt/format.h>

#include "agent/base/fd.h"

namespace fairlead::ctl {

namespace {

constexpr timeval kPatience{1, 0};            // for the connection, and for each piece of the answer
constexpr size_t kLongestAnswer = 16U << 20;  // nobody's metrics are as large

// Not connected where nobody answers. A node may have no IPv6 at all.
Fd Open(const Endpoint& server) {
  const bool v4 = server.address.GetFamily() == Family::kIpv4;
  Fd socket(::socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  for (int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    ::setsockopt(socket.Get(), SOL_SOCKET, option, &kPatience, sizeof(kPatience));
  sockaddr_in to4{.sin_family = AF_INET, .sin_port = htons(server.port), .sin_addr = {}, .sin_zero = {}};
  sockaddr_in6 to6{};
  to6.sin6_family = AF_INET6;
  to6.sin6_port = htons(server.port);
  std::ranges::copy(server.address.Bytes(),
                    reinterpret_cast<uint8_t*>(v4 ? static_cast<void*>(&to4.sin_addr) : &to6.sin6_addr));
  const auto* to = v4 ? reinterpret_cast<const sockaddr*>(&to4) : reinterpret_cast<const sockaddr*>(&to6);
  if (::connect(socket.Get(), to, v4 ? sizeof(to4) : sizeof(to6)) != 0) return Fd();
  return socket;
}

}  // namespace

// HTTP/1.0: the answer ends where the connection does.
std::optional<uint64_t> ReadWaiting(const Endpoint& metrics) {
  const Fd socket = Open(metrics);
  if (!socket) return std::nullopt;
  const std::string request = fmt::format("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", metrics.ToString());
  if (::send(socket.Get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return std::nullopt;
  std::string answer;
  char buffer[16384];
  ssize_t length = 0;
  while (answer.size() < kLongestAnswer && (length = ::recv(socket.Get(), buffer, sizeof(buffer), 0)) > 0)
    answer.append(buffer, static_cast<size_t>(length));
  return WaitingIn(answer);
}

std::optional<uint64_t> WaitingIn(std::string_view metrics) {
  constexpr std::string_view kLine = "\nfairlead_pending_writes ";
  const size_t at = metrics.find(kLine);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view value = metrics.substr(at + kLine.size());
  uint64_t waiting = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), waiting);
  if (error != std::errc()) return std::nullopt;
  return waiting;
}

}  // namespace fairlead::ctl
