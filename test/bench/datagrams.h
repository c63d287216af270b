// SPDX-License-Identifier: Apache-2.0
// UDP sockets and devices of a lab, in the manner of lab_sockets.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/base/fd.h"

namespace fairlead::bench {

inline constexpr size_t kDatagramBytes = 64;

struct UdpEnd {
  uint32_t ip;
  uint16_t port;
};
struct UdpEnds {
  UdpEnd local, remote;
};

// On every address of the present namespace; has room for whole bursts. Answers come from the address that
// was asked.
Fd UdpServer(uint16_t port);
Fd UdpClient(uint32_t ip, uint16_t port);
UdpEnds EndsOf(const Fd& client);
// One datagram there and one back: what is between them knows the flow from now on.
void Exchange(const Fd& client, const Fd& server);

// `count` datagrams at once, at most kBurst.
inline constexpr uint32_t kBurst = 32;
void SendBurst(const Fd& client, uint32_t count);
// How many had come.
size_t ReceiveAll(const Fd& server);

struct Device {
  uint32_t ifindex;
  std::array<uint8_t, 6> mac;
};
// Of the present namespace.
Device FindDevice(const std::string& name);
// What XDP frames between the ends of a veth need of both: NAPI where they come in, which GRO brings along
// (drivers/net/veth.c), and checksums that are complete, since a frame does not say that its one is not.
void PrepareForFrames(const std::string& device);

}  // namespace fairlead::bench
