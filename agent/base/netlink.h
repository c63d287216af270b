// SPDX-License-Identifier: Apache-2.0
// A netlink socket: requests with their answers, and the kernel's word of changes. Messages and attributes
// are views of the receive buffer, and checked against its end. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <linux/netlink.h>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead {

struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  std::span<const std::byte> body;  // after the nlmsghdr
  uint32_t port = 0;                // of the socket whose request it is about; 0: the kernel's own word

  // The fixed part at the start of the body; nothing if the body is shorter.
  template <typename Fixed>
  std::optional<Fixed> As() const {
    static_assert(std::is_trivially_copyable_v<Fixed>);
    if (body.size() < sizeof(Fixed)) return std::nullopt;
    Fixed fixed;
    std::memcpy(&fixed, body.data(), sizeof(fixed));
    return fixed;
  }
};

struct NetlinkAttribute {
  uint16_t type = 0;
  std::span<const std::byte> value;

  // 0 where the value is shorter than that.
  template <typename Number>
  Number As() const {
    Number number{};
    if (value.size() >= sizeof(Number)) std::memcpy(&number, value.data(), sizeof(number));
    return number;
  }
  std::string Text() const;  // up to the NUL
};

// Visits the attributes of a message from `offset` of its body on, or those nested in another's value.
template <typename Each>
void ForEachNetlinkAttribute(std::span<const std::byte> bytes, size_t offset, Each each) {
  const auto skip = [&](size_t size) {
    bytes = bytes.subspan(std::min<size_t>(NLMSG_ALIGN(size), bytes.size()));
  };
  skip(offset);
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > bytes.size()) return;
    each(NetlinkAttribute{static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                          bytes.subspan(NLA_HDRLEN, header.nla_len - size_t{NLA_HDRLEN})});
    skip(header.nla_len);
  }
}

std::vector<NetlinkAttribute> NetlinkAttributes(std::span<const std::byte> bytes, size_t offset = 0);

// A request under construction: the fixed part, then attributes.
class NetlinkRequest {
 public:
  template <typename Fixed>
  NetlinkRequest(uint16_t type, uint16_t flags, const Fixed& fixed) : type_(type), flags_(flags) {
    static_assert(std::is_trivially_copyable_v<Fixed>);
    Append(&fixed, sizeof(fixed));
  }
  NetlinkRequest& Add(uint16_t type, std::span<const uint8_t> value);
  // A number or a struct, as it is in memory.
  template <typename Value>
  NetlinkRequest& AddValue(uint16_t type, const Value& value) {
    static_assert(std::is_trivially_copyable_v<Value>);
    return Add(type, {reinterpret_cast<const uint8_t*>(&value), sizeof(value)});
  }
  NetlinkRequest& AddText(uint16_t type, const std::string& text);  // with its NUL
  // An attribute whose value are those that `fill` adds.
  NetlinkRequest& Nest(uint16_t type, const std::function<void(NetlinkRequest&)>& fill);

 private:
  friend class Netlink;
  void Append(const void* data, size_t size);

  uint16_t type_;
  uint16_t flags_;
  std::vector<std::byte> body_;
};

class Netlink {
 public:
  Netlink();
  Netlink(Netlink&& other) noexcept;
  Netlink& operator=(Netlink&& other) noexcept;
  ~Netlink();

  // `groups`: numbers of multicast groups (RTNLGRP_LINK, ...) to listen to; the socket then does not block,
  // and is for Drain alone.
  static Result<Netlink> Open(int protocol, std::initializer_list<unsigned> groups = {});
  // Over a socket that was opened elsewhere, as in another network namespace.
  static Netlink Over(Fd socket);

  using Visit = std::function<void(const NetlinkMessage&)>;

  // Sends the request (NLM_F_REQUEST is added) and visits what answers it. An NLMSG_ERROR with an errno is
  // that error. A dump that changed under the walk is taken again, twice at most, so a thing may be visited
  // more than once; one that changed under all three may lack something.
  Result<void> Ask(const NetlinkRequest& request, const Visit& visit);

  // A dump in parts: Begin asks, each Continue hears what one datagram holds (at most 32 kB), and is true
  // while there is more. A dump that is given up (by another Begin or Ask) may cost that one an EBUSY. The
  // table may change under the walk.
  Result<void> Begin(const NetlinkRequest& dump) { return Send(dump); }
  Result<bool> Continue(const Visit& visit);

  // Sends many requests at once and visits the kernel's word on each, in their order: 0 or an errno.
  using Verdict = std::function<void(size_t index, int error)>;
  Result<void> AskAll(std::span<const NetlinkRequest> requests, const Verdict& verdict);

  // A transaction of one nfnetlink subsystem (NFNL_SUBSYS_*): all of the requests, or none and the error of
  // the first that was refused.
  Result<void> Transact(uint16_t subsystem, std::span<const NetlinkRequest> requests);

  // Visits everything that has been sent to the groups since; false if some of it was lost.
  bool Drain(const Visit& visit);

  int fd() const { return socket_.Get(); }

 private:
  struct Heard {
    bool end = false;
    bool interrupted = false;
  };
  // Appends the request as a message with the next sequence number.
  void Write(const NetlinkRequest& request, uint16_t more_flags, std::vector<std::byte>& to);
  Result<void> Send(const NetlinkRequest& request);
  // Hears NLMSG_ERRORs, of requests given up too, until `answer` is false. `error`: 0 or an errno.
  using Answer = std::function<bool(uint32_t sequence, int error)>;
  Result<void> HearAnswers(const Answer& answer);
  Result<Heard> Hear(bool dump, const Visit& visit);

  Fd socket_;
  uint32_t sequence_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace fairlead
