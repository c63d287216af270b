// SPDX-License-Identifier: Apache-2.0
#include "test/support/client.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "test/support/sandbox.h"

namespace fairlead::test {

int ProtocolNumber(Proto proto) {
  switch (proto) {
    case Proto::kTcp:
      return IPPROTO_TCP;
    case Proto::kUdp:
      return IPPROTO_UDP;
    case Proto::kSctp:
      break;
  }
  return IPPROTO_SCTP;
}

bool KernelHasSctp() {
  static const bool has = static_cast<bool>(Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP)));
  return has;
}

namespace {

using std::chrono::steady_clock;

Outcome Ended(int error) {
  Outcome outcome;
  outcome.error = error;
  switch (error) {
    case ECONNREFUSED:
      outcome.end = End::kRefused;
      break;
    case EHOSTUNREACH:
      outcome.end = End::kUnreachable;
      break;
    case ETIMEDOUT:
    case EAGAIN:
      outcome.end = End::kSilent;
      break;
    default:
      outcome.end = End::kFailed;
  }
  return outcome;
}

// A server's answer: "<its ip:port> <client ip:port>\n<payload>"; echoes on a stream come without the first
// line.
void ReadAnswer(std::string_view text, Outcome& outcome) {
  const size_t space = text.find(' ');
  const size_t line = text.find('\n');
  if (line == std::string_view::npos || space > line) {
    outcome.payload = text;
    return;
  }
  outcome.backend = text.substr(0, space);
  outcome.source = Target::Parse(text.substr(space + 1, line - space - 1));
  outcome.payload = text.substr(line + 1);
}

}  // namespace

Target Target::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = Address::Parse(host);
  Target target;
  const char* end = text.data() + text.size();
  if (address && std::from_chars(text.data() + colon + 1, end, target.port).ptr == end) {
    target.address = *address;
    return target;
  }
  throw std::invalid_argument(fmt::format("\"{}\" is not ip:port", text));
}

SocketAddress SocketAddress::Of(const Target& target, int family) {
  SocketAddress address;
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(target.port);
    std::memcpy(&v4.sin_addr, &target.address.raw.words[3], sizeof(v4.sin_addr));
    std::memcpy(&address.storage, &v4, sizeof(v4));
    address.length = sizeof(v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(target.port);
    std::memcpy(&v6.sin6_addr, &target.address.raw, sizeof(v6.sin6_addr));
    std::memcpy(&address.storage, &v6, sizeof(v6));
    address.length = sizeof(v6);
  }
  return address;
}

Target SocketAddress::ToTarget() const {
  Target target;
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &storage, sizeof(v4));
    target.address.raw.words[2] = IP_ADDR_V4_PREFIX;
    std::memcpy(&target.address.raw.words[3], &v4.sin_addr, sizeof(v4.sin_addr));
    target.port = ntohs(v4.sin_port);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &storage, sizeof(v6));
    std::memcpy(&target.address.raw, &v6.sin6_addr, sizeof(v6.sin6_addr));
    target.port = ntohs(v6.sin6_port);
  }
  return target;
}

std::string_view Word(End end) {
  switch (end) {
    case End::kReached:
      return "reached";
    case End::kRefused:
      return "refused";
    case End::kUnreachable:
      return "unreachable";
    case End::kSilent:
      return "silent";
    case End::kFailed:
      break;
  }
  return "failed";
}

std::string Outcome::ToString() const {
  if (end == End::kReached)
    return fmt::format("reached {} seen as {} by way of {}", backend, source.ToString(), peer.ToString());
  return fmt::format("{} after {} us ({})", Word(end), took.count(),
                     error ? std::strerror(error) : "no error");
}

Client::Client(const Namespace& netns, Proto proto, Family family, ClientOptions options)
    : proto_(proto),
      family_(family == Family::kIpv4 && !options.mapped ? AF_INET : AF_INET6),
      options_(std::move(options)) {
  const int type = (IsStream(proto) ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK;
  fd_ = Sandbox::Get().Socket(netns, family_, type, ProtocolNumber(proto), !options_.unseen);
  const int on = 1;
  if (options_.hears_errors)
    ::setsockopt(fd_.Get(), family_ == AF_INET ? SOL_IP : SOL_IPV6,
                 family_ == AF_INET ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on));
  if (!options_.bind && options_.bind_port == 0) return;
  ::setsockopt(fd_.Get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // the last test's may be in TIME_WAIT
  Address any;
  if (family_ == AF_INET) any.raw.words[2] = IP_ADDR_V4_PREFIX;
  SocketAddress local = SocketAddress::Of({options_.bind.value_or(any), options_.bind_port}, family_);
  if (::bind(fd_.Get(), local.Raw(), local.length) != 0)
    throw std::runtime_error(
        fmt::format("bind {} in {}: {}", local.ToTarget().ToString(), netns.Name(), std::strerror(errno)));
}

bool Client::Ready(short events, std::chrono::milliseconds timeout) const {
  pollfd wait{fd_.Get(), events, 0};
  return ::poll(&wait, 1, static_cast<int>(timeout.count())) > 0;
}

// The error that a call ended with; its queued copy goes, or the socket would stay ready for ever.
int Client::Failed(int error) const {
  char ignored[512];
  if (options_.hears_errors) ::recv(fd_.Get(), ignored, sizeof(ignored), MSG_ERRQUEUE | MSG_DONTWAIT);
  return error;
}

int Client::PendingError() const {
  int error = 0;
  socklen_t length = sizeof(error);
  return ::getsockopt(fd_.Get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

int Client::Connect(const Target& to) {
  SocketAddress remote = SocketAddress::Of(to, family_);
  if (::connect(fd_.Get(), remote.Raw(), remote.length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  return Ready(POLLOUT, options_.timeout) ? PendingError() : ETIMEDOUT;
}

int Client::Send(std::string_view text) {
  return ::send(fd_.Get(), text.data(), text.size(), MSG_NOSIGNAL) < 0 ? Failed(errno) : 0;
}

int Client::SendTo(const Target& to, std::string_view text) {
  SocketAddress remote = SocketAddress::Of(to, family_);
  const ssize_t sent =
      ::sendto(fd_.Get(), text.data(), text.size(), MSG_NOSIGNAL, remote.Raw(), remote.length);
  return sent < 0 ? Failed(errno) : 0;
}

Outcome Client::Receive() {
  std::string buffer(IsStream(proto_) ? 2048 : 65536, '\0');
  SocketAddress from;
  if (!Ready(POLLIN, options_.timeout)) return Ended(ETIMEDOUT);
  const ssize_t length = ::recvfrom(fd_.Get(), buffer.data(), buffer.size(), 0, from.Raw(), &from.length);
  if (length < 0) return Ended(Failed(errno));
  if (length == 0 && IsStream(proto_)) return Ended(ECONNRESET);
  Outcome outcome;
  outcome.end = End::kReached;
  outcome.peer = IsStream(proto_) ? Peer() : from.ToTarget();
  ReadAnswer({buffer.data(), static_cast<size_t>(length)}, outcome);
  return outcome;
}

Outcome Client::Ask(std::string_view text) {
  return AnswerAfter(Send(text));
}

Outcome Client::AskAt(const Target& to, std::string_view text) {
  return AnswerAfter(SendTo(to, text));
}

Outcome Client::AnswerAfter(int error) {
  if (error == 0) return Receive();
  if (error != EPERM || !options_.filtered) return Ended(error);
  const Outcome reason = Receive();
  return reason.end == End::kSilent ? Ended(EPERM) : reason;
}

std::optional<std::string> Client::Exchange(size_t bytes) {
  std::string out(bytes, '\0');
  uint32_t state = 1;  // xorshift: a block out of place is noticed
  for (char& byte : out) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    byte = static_cast<char>(state);
  }
  std::string back;
  char buffer[65536];
  for (size_t sent = 0; back.size() < bytes;) {
    const short events = static_cast<short>(sent < bytes ? POLLIN | POLLOUT : POLLIN);
    if (!Ready(events, options_.timeout))
      return fmt::format("nothing moved after {} bytes out and {} back", sent, back.size());
    const ssize_t length = ::recv(fd_.Get(), buffer, sizeof(buffer), 0);
    if (length > 0) back.append(buffer, static_cast<size_t>(length));
    if (length == 0 || (length < 0 && errno != EAGAIN))
      return fmt::format("ended after {} bytes back: {}", back.size(),
                         length ? std::strerror(errno) : "closed");
    const ssize_t more = ::send(fd_.Get(), out.data() + sent, bytes - sent, MSG_NOSIGNAL);
    if (more > 0) sent += static_cast<size_t>(more);
  }
  if (back == out) return std::nullopt;
  const size_t first = static_cast<size_t>(std::ranges::mismatch(back, out).in1 - back.begin());
  return fmt::format("what came back differs from byte {} on", first);
}

int Client::PathMtu() const {
  int mtu = 0;
  socklen_t length = sizeof(mtu);
  return ::getsockopt(fd_.Get(), family_ == AF_INET ? SOL_IP : SOL_IPV6,
                      family_ == AF_INET ? IP_MTU : IPV6_MTU, &mtu, &length) == 0
             ? mtu
             : -errno;
}

bool Client::EndedWithin(std::chrono::milliseconds within) {
  pollfd wait{fd_.Get(), 0, 0};  // POLLERR and POLLHUP are always reported
  return ::poll(&wait, 1, static_cast<int>(within.count())) > 0;
}

Target Client::Peer() const {
  SocketAddress peer;
  return ::getpeername(fd_.Get(), peer.Raw(), &peer.length) == 0 ? peer.ToTarget() : Target{};
}

Target Client::Local() const {
  SocketAddress local;
  return ::getsockname(fd_.Get(), local.Raw(), &local.length) == 0 ? local.ToTarget() : Target{};
}

Outcome Connect(const Namespace& netns, Proto proto, const Target& to, const ClientOptions& options) {
  Client client(netns, proto, to.address.GetFamily(), options);
  const auto start = steady_clock::now();
  const int error = client.Connect(to);
  Outcome outcome = error ? Ended(error) : IsStream(proto) ? client.Receive() : client.Ask("?");
  if (outcome.end == End::kReached) outcome.peer = client.Peer();
  outcome.took = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - start);
  return outcome;
}

Outcome SendOne(const Namespace& netns, const Target& to, const ClientOptions& options) {
  Client client(netns, Proto::kUdp, to.address.GetFamily(), options);
  const auto start = steady_clock::now();
  Outcome outcome = client.AskAt(to, "?");
  outcome.took = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - start);
  return outcome;
}

bool Ping(const Namespace& netns, std::string_view to, size_t bytes, std::chrono::milliseconds timeout) {
  const auto address = Address::Parse(to);
  if (!address) throw std::invalid_argument(std::string(to));
  const bool v4 = address->GetFamily() == Family::kIpv4;
  const int family = v4 ? AF_INET : AF_INET6;
  const int protocol = v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
  const Fd fd = Sandbox::Get().Socket(netns, family, SOCK_DGRAM, protocol);
  // Type, code, and what the kernel fills in: checksum and identifier; then a sequence number, and the bytes.
  std::string request(8, '\0');
  request[0] = v4 ? ICMP_ECHO : static_cast<char>(ICMP6_ECHO_REQUEST);
  for (size_t i = 0; i < bytes; ++i) request += static_cast<char>(i);
  SocketAddress remote = SocketAddress::Of({*address, 0}, family);
  if (::sendto(fd.Get(), request.data(), request.size(), 0, remote.Raw(), remote.length) < 0) return false;
  pollfd wait{fd.Get(), POLLIN, 0};
  if (::poll(&wait, 1, static_cast<int>(timeout.count())) <= 0) return false;
  std::string answer(65536, '\0');
  SocketAddress from;
  const ssize_t length = ::recvfrom(fd.Get(), answer.data(), answer.size(), 0, from.Raw(), &from.length);
  answer.resize(length < 0 ? 0 : static_cast<size_t>(length));
  return answer.size() == request.size() && answer.substr(8) == request.substr(8) &&
         from.ToTarget().address == *address;
}

}  // namespace fairlead::test
