// SPDX-License-Identifier: Apache-2.0
#include "test/support/capture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

namespace fairlead::test {
namespace {

struct Destination {
  uint8_t protocol = 0;
  Target target;
};

// `packet` starts at the IP header.
std::optional<Destination> DestinationOf(const uint8_t* packet, size_t length) {
  Destination found;
  size_t header = 0;
  if (length >= 20 && packet[0] >> 4 == 4) {
    header = static_cast<size_t>(packet[0] & 0xf) * 4;
    found.protocol = packet[9];
    found.target.address.raw.words[2] = IP_ADDR_V4_PREFIX;
    std::memcpy(&found.target.address.raw.words[3], packet + 16, 4);
  } else if (length >= 40 && packet[0] >> 4 == 6) {
    header = 40;
    found.protocol = packet[6];
    std::memcpy(&found.target.address.raw, packet + 24, 16);
  }
  if (header == 0 || length < header + 4) return std::nullopt;
  found.target.port = static_cast<uint16_t>(packet[header + 2] << 8 | packet[header + 3]);
  return found;
}

}  // namespace

Capture::Capture(const Namespace& netns) {
  const NetnsScope inside(netns);
  fd_ = Fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  if (!fd_) throw std::runtime_error(fmt::format("capture in {}: {}", netns.Name(), std::strerror(errno)));
}

Capture::Packets Capture::Drain(Proto proto, const Target& to) {
  const auto protocol = static_cast<uint8_t>(ProtocolNumber(proto));
  Packets count;
  uint8_t packet[128];
  sockaddr_ll device{};
  for (;;) {
    socklen_t size = sizeof(device);
    const ssize_t length =
        ::recvfrom(fd_.Get(), packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&device), &size);
    if (length <= 0) return count;
    const auto found = DestinationOf(packet, static_cast<size_t>(length));
    if (!found || found->protocol != protocol || found->target != to) continue;
    ++count.all;
    if (device.sll_pkttype == PACKET_OUTGOING && device.sll_hatype != ARPHRD_LOOPBACK) ++count.sent;
  }
}

}  // namespace fairlead::test
