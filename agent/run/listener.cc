// SPDX-License-Identifier: Apache-2.0
#include "agent/run/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>

#include "agent/base/address.h"

namespace fairlead::run {

namespace {

struct Endpoint {
  Address address;
  uint16_t port = 0;
};

Result<Endpoint> ParseEndpoint(const std::string& text) {
  auto refuse = [&] {
    return Fail(ErrorKind::kInvalid, "listen on {}: expected IP:port or [IPv6]:port", text);
  };
  size_t colon = text.rfind(':');
  if (colon == std::string::npos) return refuse();
  std::string_view host = std::string_view(text).substr(0, colon);
  bool bracketed = host.size() > 1 && host.front() == '[' && host.back() == ']';
  auto address = Address::Parse(bracketed ? host.substr(1, host.size() - 2) : host);
  if (!address || bracketed != (address->GetFamily() == Family::kIpv6)) return refuse();
  Endpoint endpoint{*address, 0};
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data() + colon + 1, end, endpoint.port);
  if (error != std::errc() || stop != end) return refuse();
  return endpoint;
}

socklen_t FillSockaddr(const Endpoint& endpoint, sockaddr_storage& storage) {
  if (endpoint.address.GetFamily() == Family::kIpv6) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, &endpoint.address.raw, sizeof(v6.sin6_addr));
    std::memcpy(&storage, &v6, sizeof(v6));
    return sizeof(v6);
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(endpoint.port);
  v4.sin_addr.s_addr = endpoint.address.raw.words[3];
  std::memcpy(&storage, &v4, sizeof(v4));
  return sizeof(v4);
}

// `text` names the endpoint in errors.
Result<Listener> Open(const Endpoint& endpoint, int v6_only, const std::string& text) {
  sockaddr_storage name{};
  socklen_t length = FillSockaddr(endpoint, name);
  Listener listener{Fd(::socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), 0};
  int fd = listener.fd.Get();
  int on = 1;
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      (name.ss_family == AF_INET6 &&
       ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0) ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&name), length) != 0 || ::listen(fd, SOMAXCONN) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0) {
    return FailErrno(errno, "listen on {}", text);
  }
  // sockaddr_in and sockaddr_in6 have the port at the same place.
  sockaddr_in bound{};
  std::memcpy(&bound, &name, sizeof(bound));
  listener.port = ntohs(bound.sin_port);
  return listener;
}

}  // namespace

Result<Listener> OpenListener(const std::string& address) {
  auto endpoint = ParseEndpoint(address);
  if (!endpoint) return Unexpected(std::move(endpoint).error());
  return Open(*endpoint, endpoint->address.IsUnspecified() ? 0 : 1, address);
}

Result<Listener> OpenListener(const Address& address, uint16_t port) {
  return Open({address, port}, 1, AddressPort(address, port));
}

}  // namespace fairlead::run
