// SPDX-License-Identifier: Apache-2.0
#include "test/bench/datagrams.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "test/bench/lab_sockets.h"

namespace fairlead::bench {
namespace {

constexpr int kServerRoom = 32 << 20;
using Datagram = std::array<char, kDatagramBytes>;

Fd UdpSocket() {
  Fd made(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!made) DieOfErrno("socket");
  const timeval patience{5, 0};
  if (::setsockopt(made.Get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
    DieOfErrno("setsockopt");
  return made;
}

sockaddr_in At(uint32_t ip, uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(ip);
  at.sin_port = htons(port);
  return at;
}

UdpEnd EndOf(const sockaddr_in& at) {
  return {ntohl(at.sin_addr.s_addr), ntohs(at.sin_port)};
}

ifreq RequestFor(const std::string& device) {
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

void SetFeature(const Fd& any, const std::string& device, uint32_t command, uint32_t on) {
  ethtool_value value{command, on};
  ifreq request = RequestFor(device);
  request.ifr_data = reinterpret_cast<char*>(&value);
  if (::ioctl(any.Get(), SIOCETHTOOL, &request) != 0) DieOfErrno(fmt::format("ethtool, {}", device));
}

}  // namespace

Fd UdpServer(uint16_t port) {
  Fd server = UdpSocket();
  const int on = 1;
  const sockaddr_in at = At(INADDR_ANY, port);
  if (::setsockopt(server.Get(), SOL_SOCKET, SO_RCVBUFFORCE, &kServerRoom, sizeof(kServerRoom)) != 0 ||
      ::setsockopt(server.Get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) != 0 ||
      ::bind(server.Get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) {
    DieOfErrno(fmt::format("serve on UDP port {}", port));
  }
  return server;
}

Fd UdpClient(uint32_t ip, uint16_t port) {
  Fd client = UdpSocket();
  const sockaddr_in at = At(ip, port);
  if (::connect(client.Get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0)
    DieOfErrno(fmt::format("connect to {}:{}", FormatIpv4(ip), port));
  return client;
}

UdpEnds EndsOf(const Fd& client) {
  sockaddr_in local{}, remote{};
  socklen_t length = sizeof(local), remote_length = sizeof(remote);
  if (::getsockname(client.Get(), reinterpret_cast<sockaddr*>(&local), &length) != 0 ||
      ::getpeername(client.Get(), reinterpret_cast<sockaddr*>(&remote), &remote_length) != 0) {
    DieOfErrno("addresses of a socket");
  }
  return {EndOf(local), EndOf(remote)};
}

void Exchange(const Fd& client, const Fd& server) {
  Datagram bytes{};
  if (::send(client.Get(), bytes.data(), bytes.size(), 0) < 0) DieOfErrno("send a datagram");
  sockaddr_in from{};
  iovec at{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> about{};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof(from);
  message.msg_iov = &at;
  message.msg_iovlen = 1;
  message.msg_control = about.data();
  message.msg_controllen = about.size();
  if (::recvmsg(server.Get(), &message, 0) < 0) DieOfErrno("receive a datagram at the backend");
  // The answer goes the way that the routes say, from the address in the same message.
  cmsghdr* info = CMSG_FIRSTHDR(&message);
  if (!info || info->cmsg_type != IP_PKTINFO) Die("a datagram without its destination");
  in_pktinfo asked{};
  std::memcpy(&asked, CMSG_DATA(info), sizeof(asked));
  asked.ipi_ifindex = 0;
  asked.ipi_spec_dst = asked.ipi_addr;
  std::memcpy(CMSG_DATA(info), &asked, sizeof(asked));
  if (::sendmsg(server.Get(), &message, 0) < 0) DieOfErrno("answer a datagram");
  if (::recv(client.Get(), bytes.data(), bytes.size(), 0) < 0) DieOfErrno("receive the answer to a datagram");
}

void SendBurst(const Fd& client, uint32_t count) {
  static Datagram bytes{};
  iovec at{bytes.data(), bytes.size()};
  std::array<mmsghdr, kBurst> messages{};
  for (mmsghdr& message : messages) {
    message.msg_hdr.msg_iov = &at;
    message.msg_hdr.msg_iovlen = 1;
  }
  const int sent = ::sendmmsg(client.Get(), messages.data(), count, 0);
  if (sent < 0) DieOfErrno("send datagrams");
  if (static_cast<uint32_t>(sent) != count) Die(fmt::format("sent {} of {} datagrams", sent, count));
}

size_t ReceiveAll(const Fd& server) {
  static Datagram bytes{};
  iovec at{bytes.data(), bytes.size()};
  size_t all = 0;
  for (;;) {
    std::array<mmsghdr, kBurst> messages{};
    for (mmsghdr& message : messages) {
      message.msg_hdr.msg_iov = &at;
      message.msg_hdr.msg_iovlen = 1;
    }
    const int got = ::recvmmsg(server.Get(), messages.data(), messages.size(), MSG_DONTWAIT, nullptr);
    if (got < 0 && errno != EAGAIN) DieOfErrno("receive datagrams");
    if (got > 0) all += static_cast<size_t>(got);
    if (got < static_cast<int>(messages.size())) return all;
  }
}

Device FindDevice(const std::string& name) {
  const Fd any = UdpSocket();
  ifreq request = RequestFor(name);
  if (::ioctl(any.Get(), SIOCGIFINDEX, &request) != 0) DieOfErrno(name);
  Device found{static_cast<uint32_t>(request.ifr_ifindex), {}};
  if (::ioctl(any.Get(), SIOCGIFHWADDR, &request) != 0) DieOfErrno(name);
  std::memcpy(found.mac.data(), request.ifr_hwaddr.sa_data, found.mac.size());
  return found;
}

void PrepareForFrames(const std::string& device) {
  const Fd any = UdpSocket();
  SetFeature(any, device, ETHTOOL_SGRO, 1);
  SetFeature(any, device, ETHTOOL_STXCSUM, 0);
}

}  // namespace fairlead::bench
