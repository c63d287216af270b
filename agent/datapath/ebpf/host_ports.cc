// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/host_ports.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "agent/base/fd.h"
#include "agent/datapath/ebpf/encode.h"

namespace fairlead::ebpf {

namespace {

Result<std::string> ReadSetting(const char* name) {
  std::string path = std::string("/proc/sys/net/ipv4/") + name;
  std::ifstream file(path);
  std::stringstream text;
  if (!(text << file.rdbuf()) && !file.eof()) return FailErrno(errno != 0 ? errno : EIO, "{}", path);
  return text.str();
}

// Adds the local ports of one dump's sockets (net/ipv4/inet_diag.c).
Result<void> AddBound(const Fd& netlink, uint8_t family, uint8_t protocol, uint32_t states, PortSet& into) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message{};
  message.header.nlmsg_len = sizeof(message);
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.request.sdiag_family = family;
  message.request.sdiag_protocol = protocol;
  message.request.idiag_states = states;
  if (::send(netlink.Get(), &message, sizeof(message), 0) < 0) return FailErrno(errno, "sock_diag: send");

  alignas(nlmsghdr) char buffer[32768];
  for (;;) {
    ssize_t got = ::recv(netlink.Get(), buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "sock_diag: receive");
    auto left = static_cast<unsigned>(got);
    for (auto* at = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE) return {};
      if (at->nlmsg_type == NLMSG_ERROR) {
        auto* error = static_cast<nlmsgerr*>(NLMSG_DATA(at));
        return FailErrno(-error->error, "sock_diag: list sockets");
      }
      if (at->nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
      auto* socket = static_cast<inet_diag_msg*>(NLMSG_DATA(at));
      into.Add(PortFromWire(socket->id.idiag_sport));
    }
  }
}

Result<PortSet> BoundPorts() {
  Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return FailErrno(errno, "sock_diag: open");
  PortSet bound;
  for (uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
    for (uint8_t protocol : {uint8_t{IPPROTO_TCP}, uint8_t{IPPROTO_UDP}}) {
      const uint32_t states = protocol == IPPROTO_TCP ? 1U << TCP_LISTEN : ~0U;
      auto added = AddBound(netlink, family, protocol, states, bound);
      // Without the module for a family or protocol there are no such sockets to speak of.
      if (!added && added.error().code != ENOENT) return std::unexpected(added.error());
    }
  }
  return bound;
}

}  // namespace

Result<HostPorts> ReadHostPorts() {
  auto range = ReadSetting("ip_local_port_range");
  if (!range) return std::unexpected(range.error());
  auto reserved = ReadSetting("ip_local_reserved_ports");
  if (!reserved) return std::unexpected(reserved.error());
  auto ephemeral = EphemeralPorts(*range, *reserved);
  if (!ephemeral) return std::unexpected(ephemeral.error());
  auto bound = BoundPorts();
  if (!bound) return std::unexpected(bound.error());
  return HostPorts{*bound, *ephemeral};
}

Result<PortSet> EphemeralPorts(std::string_view range, std::string_view reserved) {
  std::istringstream words{std::string(range)};
  std::string first, last;
  words >> first >> last;
  auto given = ParsePortRange(first + "-" + last);
  if (!given) return std::unexpected(std::move(given.error()).In("ip_local_port_range"));
  PortSet ports;
  ports.Add(*given);

  PortSet kept_back;
  std::istringstream list{std::string(reserved)};
  for (std::string part; std::getline(list >> std::ws, part, ',');) {
    while (!part.empty() && std::isspace(static_cast<unsigned char>(part.back()))) part.pop_back();
    auto kept = ParsePortRange(part);
    if (!kept) return std::unexpected(std::move(kept.error()).In("ip_local_reserved_ports"));
    kept_back.Add(*kept);
  }
  return ports -= kept_back;
}

}  // namespace fairlead::ebpf
