// SPDX-License-Identifier: Apache-2.0
#include "agent/base/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <iterator>

namespace fairlead {

namespace {

// The kernel never makes a dump's message larger than this (NLMSG_GOODSIZE is a page, or 32 kB on demand).
constexpr size_t kBufferSize = 65536;
constexpr int kDumps = 3;

size_t Aligned(size_t size) {
  return (size + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1};
}

// Splits a buffer into messages; `each` returns false to stop.
template <typename Each>
void ForEachMessage(std::span<const std::byte> bytes, Each each) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > bytes.size()) return;
    NetlinkMessage message{header.nlmsg_type, header.nlmsg_flags,
                           bytes.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN)};
    if (!each(header, message)) return;
    bytes = bytes.subspan(std::min(Aligned(header.nlmsg_len), bytes.size()));
  }
}

}  // namespace

std::string NetlinkAttribute::Text() const {
  const auto* text = reinterpret_cast<const char*>(value.data());
  return std::string(text, ::strnlen(text, value.size()));
}

std::vector<NetlinkAttribute> NetlinkAttributes(std::span<const std::byte> bytes, size_t offset) {
  std::vector<NetlinkAttribute> attributes;
  bytes = bytes.subspan(std::min(Aligned(offset), bytes.size()));
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > bytes.size()) break;
    attributes.push_back({static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                          bytes.subspan(NLA_HDRLEN, header.nla_len - NLA_HDRLEN)});
    bytes = bytes.subspan(std::min(Aligned(header.nla_len), bytes.size()));
  }
  return attributes;
}

void NetlinkRequest::Append(const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  body_.insert(body_.end(), bytes, bytes + size);
  body_.resize(Aligned(body_.size()));
}

NetlinkRequest& NetlinkRequest::Add(uint16_t type, std::span<const uint8_t> value) {
  nlattr header{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
  Append(&header, sizeof(header));
  Append(value.data(), value.size());
  return *this;
}

Netlink Netlink::Over(Fd socket) {
  Netlink netlink;
  netlink.socket_ = std::move(socket);
  netlink.buffer_.resize(kBufferSize);
  int fd = netlink.socket_.Get();
  timeval patience{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  // A dump's filter is honoured instead of passed over (Linux 4.20).
  int strict = 1;
  ::setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
  return netlink;
}

// Out of line: g++ 12 warns of a double free where it inlines these.
Netlink::Netlink() = default;
Netlink::Netlink(Netlink&& other) noexcept = default;
Netlink& Netlink::operator=(Netlink&& other) noexcept = default;
Netlink::~Netlink() = default;

Result<Netlink> Netlink::Open(int protocol, std::initializer_list<unsigned> groups) {
  const bool listens = groups.size() != 0;
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (listens ? SOCK_NONBLOCK : 0), protocol));
  if (!socket) return FailErrno(errno, "netlink");
  int fd = socket.Get();
  Netlink netlink = Over(std::move(socket));
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&self), sizeof(self)) != 0)
    return FailErrno(errno, "netlink: bind");
  for (unsigned group : groups) {
    if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
      return FailErrno(errno, "netlink: join group {}", group);
  }
  return netlink;
}

Result<void> Netlink::Send(const NetlinkRequest& request) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + request.body_.size());
  header.nlmsg_type = request.type_;
  header.nlmsg_flags = static_cast<uint16_t>(request.flags_ | NLM_F_REQUEST);
  header.nlmsg_seq = ++sequence_;
  std::vector<std::byte> bytes(NLMSG_HDRLEN);
  std::memcpy(bytes.data(), &header, sizeof(header));
  bytes.insert(bytes.end(), request.body_.begin(), request.body_.end());
  if (::send(socket_.Get(), bytes.data(), bytes.size(), 0) < 0) return FailErrno(errno, "netlink: send");
  return {};
}

// One datagram of the answer to the last request. A dump goes on to its NLMSG_DONE; anything else is one
// message.
Result<Netlink::Heard> Netlink::Hear(bool dump, const Visit& visit) {
  ssize_t got = ::recv(socket_.Get(), buffer_.data(), buffer_.size(), 0);
  if (got < 0) return FailErrno(errno, "netlink: receive");
  Heard heard;
  int error = 0;
  ForEachMessage({buffer_.data(), static_cast<size_t>(got)},
                 [&](const nlmsghdr& header, const NetlinkMessage& message) {
                   if (header.nlmsg_seq != sequence_) return true;  // left over from a request given up
                   heard.interrupted |= (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
                   bool last = message.type == NLMSG_DONE || message.type == NLMSG_ERROR;
                   if (last) {
                     error = -message.As<int>().value_or(-EBADMSG);
                   } else {
                     visit(message);
                   }
                   heard.end |= last || !dump;
                   return !last;
                 });
  if (error > 0) return FailErrno(error, "netlink");
  return heard;
}

Result<void> Netlink::Ask(const NetlinkRequest& request, const Visit& visit) {
  const bool dump = (request.flags_ & NLM_F_DUMP) == NLM_F_DUMP;
  for (int attempt = 0; attempt < kDumps; ++attempt) {
    if (auto sent = Send(request); !sent) return sent;
    bool interrupted = false;
    for (bool end = false; !end;) {
      auto heard = Hear(dump, visit);
      if (!heard) return std::unexpected(heard.error());
      interrupted |= heard->interrupted;
      end = heard->end;
    }
    if (!interrupted) break;
  }
  return {};
}

bool Netlink::Drain(const Visit& visit) {
  bool whole = true;
  for (;;) {
    ssize_t got = ::recv(socket_.Get(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {  // words were lost, but not that there were some
      whole = false;
      continue;
    }
    if (got <= 0) return whole;
    ForEachMessage({buffer_.data(), static_cast<size_t>(got)},
                   [&](const nlmsghdr&, const NetlinkMessage& message) {
                     visit(message);
                     return true;
                   });
  }
}

}  // namespace fairlead
