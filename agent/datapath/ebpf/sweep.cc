// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/sweep.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/encode.h"
#include "agent/datapath/ebpf/netns.h"
#include "maps/stale_socket.h"

namespace fairlead::ebpf {

namespace {

constexpr std::chrono::milliseconds kPause{150};
constexpr std::chrono::milliseconds kRetry{250};
constexpr std::chrono::seconds kResync{30};

Result<std::vector<stale_socket>> ReadAll(const Fd& pass) {
  std::vector<stale_socket> found;
  std::vector<char> bytes(sizeof(stale_socket) * 256);
  size_t have = 0;
  for (;;) {
    ssize_t got = ::read(pass.Get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return FailErrno(errno, "sock_sweep: read");
    have += static_cast<size_t>(got);
    size_t whole = have / sizeof(stale_socket);
    for (size_t i = 0; i < whole; ++i) {
      stale_socket& socket = found.emplace_back();
      std::memcpy(&socket, bytes.data() + i * sizeof(stale_socket), sizeof(socket));
    }
    std::memmove(bytes.data(), bytes.data() + whole * sizeof(stale_socket),
                 have - whole * sizeof(stale_socket));
    have -= whole * sizeof(stale_socket);
    if (got == 0) return found;
  }
}

void CopyAddress(__be32 (&to)[4], const ip_addr& from, uint16_t family) {
  if (family == AF_INET6) {
    std::memcpy(to, from.bytes, 16);
  } else {
    to[0] = from.words[3];
  }
}

// SOCK_DESTROY (net/core/sock_diag.c, net/ipv4/udp_diag.c): the socket gets ECONNABORTED and is disconnected;
// its owner sees the error with the next call. False: there is no such socket (any more): it went by itself,
// or the next pass finds it again.
Result<bool> Destroy(const Fd& netlink, const stale_socket& socket) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message{};
  message.header.nlmsg_len = sizeof(message);
  message.header.nlmsg_type = SOCK_DESTROY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  inet_diag_req_v2& request = message.request;
  request.sdiag_family = static_cast<__u8>(socket.family);
  request.sdiag_protocol = IPPROTO_UDP;
  request.idiag_states = ~0U;
  request.id.idiag_sport = socket.local_port;
  request.id.idiag_dport = socket.peer.backend_port;
  request.id.idiag_if = socket.ifindex;
  CopyAddress(request.id.idiag_src, socket.local, socket.family);
  CopyAddress(request.id.idiag_dst, socket.peer.backend, socket.family);
  request.id.idiag_cookie[0] = static_cast<__u32>(socket.cookie);
  request.id.idiag_cookie[1] = static_cast<__u32>(socket.cookie >> 32);
  if (::send(netlink.Get(), &message, sizeof(message), 0) < 0) return FailErrno(errno, "sock_diag: send");

  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[sizeof(message)];
  } answer{};
  ssize_t got = ::recv(netlink.Get(), &answer, sizeof(answer), 0);
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(int)))
    return FailErrno(errno, "sock_diag: receive");
  if (answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error == 0) return true;
  if (answer.error.error == -ENOENT) return false;
  return FailErrno(-answer.error.error, "sock_diag: close a UDP socket of {}",
                   AddressPort(Address{socket.peer.frontend}, PortFromWire(socket.peer.frontend_port)));
}

}  // namespace

std::chrono::steady_clock::time_point Sweeper::Poll(std::chrono::steady_clock::time_point now) {
  if (std::exchange(expected_, false)) {
    again_ = true;
    retry_ = kRetry;
    next_ = std::min(next_, std::max(now, last_ + kPause));
  }
  if (now < next_) return next_;
  last_ = now;
  const uint64_t closed_before = closed_;
  auto left = Pass();
  std::string error = left ? "" : left.error().message;
  if (!error.empty() && error != last_error_) {
    spdlog::warn("UDP sockets of removed backends may go on: {}; trying again", error);
  }
  last_error_ = error;
  if (closed_ != closed_before) retry_ = kRetry;
  if (std::exchange(again_, false)) {
    next_ = now + kRetry;
  } else if (!left || *left > 0) {
    next_ = now + retry_;
    retry_ = std::min<std::chrono::milliseconds>(retry_ * 2, kResync);
  } else {
    next_ = now + kResync;
  }
  return next_;
}

Result<size_t> Sweeper::Pass() {
  auto pass = kernel_.SweepSockets();
  if (!pass) return std::unexpected(pass.error());
  auto found = ReadAll(*pass);
  if (!found) return std::unexpected(found.error());
  if (found->empty()) return 0;

  std::map<uint32_t, std::vector<const stale_socket*>> by_netns;
  std::set<uint32_t> inodes;
  for (const stale_socket& socket : *found) {
    by_netns[socket.netns].push_back(&socket);
    inodes.insert(socket.netns);
  }
  std::map<uint32_t, Fd> namespaces = FindNetns(inodes, netns_dirs_);
  Result<size_t> outcome = 0;
  for (const auto& [inode, sockets] : by_netns) {
    auto netns = namespaces.find(inode);
    if (netns == namespaces.end()) {
      outcome = Fail(ErrorKind::kNotFound,
                     "network namespace {} is neither pinned in netnsDirs nor visible in /proc", inode);
      failed_ += sockets.size();
      continue;
    }
    auto netlink = NetlinkIn(netns->second, NETLINK_SOCK_DIAG);
    if (!netlink) {
      outcome = std::unexpected(netlink.error());
      failed_ += sockets.size();
      continue;
    }
    for (const stale_socket* socket : sockets) {
      auto destroyed = Destroy(*netlink, *socket);
      if (destroyed && !*destroyed) {
        if (outcome) ++*outcome;
      } else if (destroyed) {
        ++closed_;
        spdlog::debug("closed a UDP socket of {}: its backend {} is gone",
                      AddressPort(Address{socket->peer.frontend}, PortFromWire(socket->peer.frontend_port)),
                      AddressPort(Address{socket->peer.backend}, PortFromWire(socket->peer.backend_port)));
      } else {
        ++failed_;
        outcome = std::unexpected(destroyed.error());
      }
    }
  }
  return outcome;
}

}  // namespace fairlead::ebpf
