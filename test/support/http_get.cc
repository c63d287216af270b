// SPDX-License-Identifier: Apache-2.0
#include "test/support/http_get.h"

#include <poll.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

namespace fairlead::test {
namespace {

// HTTP/1.0: the body ends where the connection does.
std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  pollfd wait{fd, POLLIN, 0};
  while (::poll(&wait, 1, 2000) > 0) {
    const ssize_t length = ::recv(fd, buffer, sizeof(buffer), 0);
    if (length <= 0) break;
    text.append(buffer, static_cast<size_t>(length));
  }
  return text;
}

}  // namespace

HttpAnswer HttpGet(const Namespace& netns, const Target& server, std::string_view path) {
  HttpAnswer answer;
  Client client(netns, Proto::kTcp, server.address.GetFamily());
  if (client.Connect(server) != 0) return answer;
  if (client.Send(fmt::format("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", path, server.ToString())) != 0)
    return answer;
  const std::string text = ReadAll(client.FileDescriptor());
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos || text.size() < 12) return answer;
  std::from_chars(text.data() + 9, text.data() + 12, answer.status);
  for (size_t line = text.find("\r\n") + 2; line < end + 2;) {
    const size_t next = text.find("\r\n", line);
    const size_t colon = text.find(':', line);
    if (colon < next) {
      std::string name = text.substr(line, colon - line);
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      const size_t value = std::min(text.find_first_not_of(' ', colon + 1), next);
      answer.headers[name] = text.substr(value, next - value);
    }
    line = next + 2;
  }
  answer.body = text.substr(end + 4);
  return answer;
}

}  // namespace fairlead::test
