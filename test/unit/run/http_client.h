// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange over a real socket on loopback, as bytes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>

#include "agent/base/fd.h"

namespace fairlead::run {

// Connects to loopback; no descriptor if that fails. Reads give up after 10 s.
inline Fd Connect(uint16_t port, int family = AF_INET) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  timeval patience{10, 0};
  ::setsockopt(socket.Get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  int connected = family == AF_INET ? ::connect(socket.Get(), reinterpret_cast<sockaddr*>(&v4), sizeof(v4))
                                    : ::connect(socket.Get(), reinterpret_cast<sockaddr*>(&v6), sizeof(v6));
  if (connected != 0) socket.Reset();
  return socket;
}

// Until the server closes.
inline std::string ReadAll(const Fd& socket) {
  std::string answer;
  char buffer[4096];
  for (ssize_t got; (got = ::recv(socket.Get(), buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  return answer;
}

// Empty if there is no connection.
inline std::string Exchange(uint16_t port, const std::string& request, int family = AF_INET) {
  Fd socket = Connect(port, family);
  if (!socket) return {};
  ::send(socket.Get(), request.data(), request.size(), MSG_NOSIGNAL);
  return ReadAll(socket);
}

inline std::string Get(uint16_t port, const std::string& path, const std::string& method = "GET",
                       int family = AF_INET) {
  return Exchange(port, method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n", family);
}

inline std::string Body(const std::string& answer) {
  size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

}  // namespace fairlead::run
