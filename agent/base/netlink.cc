// SPDX-License-Identifier: Apache-2.0
#include "agent/base/netlink.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <iterator>

namespace fairlead {

namespace {

// The kernel never makes a dump's message larger than this (NLMSG_GOODSIZE is a page, or 32 kB on demand).
constexpr size_t kBufferSize = 65536;
constexpr int kDumps = 3;
// The answers to so many fit a receive buffer of the default size.
constexpr size_t kRequests = 64;

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
                           bytes.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN), header.nlmsg_pid};
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
  ForEachNetlinkAttribute(bytes, offset, [&](const NetlinkAttribute& each) { attributes.push_back(each); });
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

NetlinkRequest& NetlinkRequest::AddText(uint16_t type, const std::string& text) {
  return Add(type, {reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1});
}

NetlinkRequest& NetlinkRequest::Nest(uint16_t type, const std::function<void(NetlinkRequest&)>& fill) {
  const size_t begin = body_.size();
  nlattr header{0, static_cast<uint16_t>(type | NLA_F_NESTED)};
  Append(&header, sizeof(header));
  fill(*this);
  header.nla_len = static_cast<uint16_t>(body_.size() - begin);
  std::memcpy(body_.data() + begin, &header, sizeof(header));
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

void Netlink::Write(const NetlinkRequest& request, uint16_t more_flags, std::vector<std::byte>& to) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + request.body_.size());
  header.nlmsg_type = request.type_;
  header.nlmsg_flags = static_cast<uint16_t>(request.flags_ | more_flags | NLM_F_REQUEST);
  header.nlmsg_seq = ++sequence_;
  const auto* bytes = reinterpret_cast<const std::byte*>(&header);
  to.insert(to.end(), bytes, bytes + NLMSG_HDRLEN);
  to.insert(to.end(), request.body_.begin(), request.body_.end());
}

Result<void> Netlink::Send(const NetlinkRequest& request) {
  std::vector<std::byte> bytes;
  Write(request, 0, bytes);
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

Result<bool> Netlink::Continue(const Visit& visit) {
  auto heard = Hear(true, visit);
  if (!heard) return std::unexpected(heard.error());
  return !heard->end;
}

Result<void> Netlink::HearAnswers(const Answer& answer) {
  for (bool more = true; more;) {
    const ssize_t got = ::recv(socket_.Get(), buffer_.data(), buffer_.size(), 0);
    if (got < 0) return FailErrno(errno, "netlink: receive");
    ForEachMessage({buffer_.data(), static_cast<size_t>(got)},
                   [&](const nlmsghdr& header, const NetlinkMessage& message) {
                     if (message.type != NLMSG_ERROR) return true;
                     more = answer(header.nlmsg_seq, -message.As<int>().value_or(-EBADMSG));
                     return more;
                   });
  }
  return {};
}

Result<void> Netlink::AskAll(std::span<const NetlinkRequest> requests, const Verdict& verdict) {
  std::vector<std::byte> bytes;
  for (size_t done = 0; done < requests.size();) {
    const auto batch = requests.subspan(done, std::min(kRequests, requests.size() - done));
    const uint32_t first = sequence_ + 1;
    bytes.clear();
    for (const NetlinkRequest& request : batch) Write(request, NLM_F_ACK, bytes);
    if (::send(socket_.Get(), bytes.data(), bytes.size(), 0) < 0) return FailErrno(errno, "netlink: send");
    size_t missing = batch.size();
    auto heard = HearAnswers([&](uint32_t sequence, int error) {
      const size_t index = sequence - first;
      if (index >= batch.size()) return true;
      verdict(done + index, error);
      return --missing > 0;
    });
    if (!heard) return heard;
    done += batch.size();
  }
  return {};
}

// Without the subsystem, or the right to it, the kernel answers the begin and nothing else.
Result<void> Netlink::Transact(uint16_t subsystem, std::span<const NetlinkRequest> requests) {
  if (requests.empty()) return {};
  const nfgenmsg frame{AF_UNSPEC, NFNETLINK_V0, htons(subsystem)};
  std::vector<std::byte> bytes;
  Write(NetlinkRequest(NFNL_MSG_BATCH_BEGIN, 0, frame), 0, bytes);
  const uint32_t begin = sequence_;
  for (const NetlinkRequest& request : requests) Write(request, NLM_F_ACK, bytes);
  Write(NetlinkRequest(NFNL_MSG_BATCH_END, 0, frame), 0, bytes);
  if (::send(socket_.Get(), bytes.data(), bytes.size(), 0) < 0) return FailErrno(errno, "netlink: send");
  int refused = 0;
  size_t missing = requests.size();
  auto heard = HearAnswers([&](uint32_t sequence, int error) {
    const size_t index = sequence - begin;
    if (index > requests.size()) return true;
    if (refused == 0) refused = error;
    return index != 0 && --missing > 0;
  });
  if (!heard) return heard;
  if (refused != 0) return FailErrno(refused, "netlink");
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
