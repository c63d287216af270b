// SPDX-License-Identifier: Apache-2.0
// Client sockets in a namespace, and what became of them: which backend answered, which source it saw, or
// which error the kernel gave and when. Ports are host order. Nothing here throws for what a peer or the
// kernel does; only a socket that cannot be made or bound throws std::runtime_error.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "agent/base/address.h"
#include "agent/base/fd.h"
#include "test/support/netns.h"

namespace fairlead::test {

enum class Proto { kTcp, kUdp, kSctp };
int ProtocolNumber(Proto proto);  // IPPROTO_TCP
// UDP is not; SCTP's sockets are one-to-one here (RFC 6458, section 4), which are used like TCP's.
constexpr bool IsStream(Proto proto) {
  return proto != Proto::kUdp;
}
// Whether the kernel makes SCTP sockets; asks it to load the module.
bool KernelHasSctp();

struct Target {
  Address address;
  uint16_t port = 0;

  // "10.0.0.1:80", "[fd00::1]:80". Throws std::invalid_argument.
  static Target Parse(std::string_view text);
  std::string ToString() const { return AddressPort(address, port); }
  friend bool operator==(const Target&, const Target&) = default;
  friend void PrintTo(const Target& self, std::ostream* out) { *out << self.ToString(); }  // for GoogleTest
};

// Conversions for the socket calls: IPv4 as sockaddr_in, or IPv4-mapped as sockaddr_in6 for `family`
// AF_INET6.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  static SocketAddress Of(const Target& target, int family);
  Target ToTarget() const;
  sockaddr* Raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

struct ClientOptions {
  std::optional<Address> bind = std::nullopt;
  uint16_t bind_port = 0;
  std::chrono::milliseconds timeout{2000};  // for connect and for an answer
  bool mapped = false;                      // IPv4 through an IPv6 socket
  bool unseen = false;        // by the socket hooks, as the sockets of a virtual machine in a pod are
  bool hears_errors = false;  // an unconnected UDP socket learns of ICMP errors too (IP_RECVERR)
  // Netfilter rules of its own host judge what it sends: a datagram they reject fails with EPERM first, and
  // with the reason at the next call.
  bool filtered = false;
};

enum class End {
  kReached,      // a server answered
  kRefused,      // ECONNREFUSED
  kUnreachable,  // EHOSTUNREACH
  kSilent,       // nothing came in time
  kFailed,       // any other error
};
std::string_view Word(End end);

struct Outcome {
  End end = End::kFailed;
  int error = 0;        // errno of the failed call, 0 otherwise
  std::string backend;  // ip:port of the server that answered, as it knows itself
  Target source;        // the client as that server saw it
  Target peer;          // getpeername; for an unconnected socket the source address of the answer
  std::string payload;  // what the server echoed
  std::chrono::microseconds took{0};
  // "reached 10.0.0.1:80 seen as ...", for messages
  std::string ToString() const;
};

// One client socket.
class Client {
 public:
  Client(const Namespace& netns, Proto proto, Family family, ClientOptions options = {});

  // 0 or errno. TCP: waits for the handshake (ETIMEDOUT after the timeout).
  int Connect(const Target& to);
  // 0 or errno. Without a target the socket must be connected.
  int Send(std::string_view text);
  int SendTo(const Target& to, std::string_view text);
  // The next answer: a stream's greeting or an echo, UDP's datagram.
  Outcome Receive();
  // Sends `text` and waits for its answer.
  Outcome Ask(std::string_view text);
  Outcome AskAt(const Target& to, std::string_view text);
  // Sends `bytes` on a stream while as many come back, byte for byte; what went wrong, or
  // nothing. Comes after the greeting has been received.
  std::optional<std::string> Exchange(size_t bytes);
  // What the kernel knows of the path to the peer of a connected socket, in bytes of IP packet.
  int PathMtu() const;
  // True once the kernel has ended the socket (error or hang-up) within `within`.
  bool EndedWithin(std::chrono::milliseconds within);

  Target Peer() const;
  Target Local() const;
  int FileDescriptor() const { return fd_.Get(); }

 private:
  bool Ready(short events, std::chrono::milliseconds timeout) const;
  int PendingError() const;
  int Failed(int error) const;
  Outcome AnswerAfter(int error);  // to what was sent, or why none comes

  Fd fd_;
  Proto proto_;
  int family_;
  ClientOptions options_;
};

// Connects (UDP too), and asks the server who it is.
Outcome Connect(const Namespace& netns, Proto proto, const Target& to, const ClientOptions& options = {});
// The same with one datagram of an unconnected socket.
Outcome SendOne(const Namespace& netns, const Target& to, const ClientOptions& options = {});

// True if an echo request of `bytes` bytes to `to` was answered by `to` itself, with the same bytes, in time.
bool Ping(const Namespace& netns, std::string_view to, size_t bytes = 56,
          std::chrono::milliseconds timeout = std::chrono::seconds(1));

}  // namespace fairlead::test
