// SPDX-License-Identifier: Apache-2.0
// A netlink socket: requests with their answers, and the kernel's word of changes. Messages and attributes
// are views of the receive buffer, and checked against its end. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead {

struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  std::span<const std::byte> body;  // after the nlmsghdr

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

// The attributes of a message from `offset` of its body on, or those nested in another attribute's value.
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
  // more than once.
  Result<void> Ask(const NetlinkRequest& request, const Visit& visit);

  // Visits everything that has been sent to the groups since; false if some of it was lost.
  bool Drain(const Visit& visit);

  int fd() const { return socket_.Get(); }

 private:
  struct Heard {
    bool end = false;
    bool interrupted = false;
  };
  Result<void> Send(const NetlinkRequest& request);
  Result<Heard> Hear(bool dump, const Visit& visit);

  Fd socket_;
  uint32_t sequence_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace fairlead
