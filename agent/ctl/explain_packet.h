// SPDX-License-Identifier: Apache-2.0
// The packet of a question as bytes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "agent/ctl/explain_request.h"

namespace fairlead::ctl {

using LinkAddress = std::array<uint8_t, 6>;

// An Ethernet frame to `device`: a TCP SYN (EXPLAIN_EGRESS: SYN and ACK, the answer that leaves there) or an
// empty UDP datagram, TTL 64, every checksum right. Pure.
std::vector<uint8_t> MakePacket(const Question& question, const LinkAddress& device);

}  // namespace fairlead::ctl
