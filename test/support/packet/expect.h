// SPDX-License-Identifier: Apache-2.0
// Whole packets compared; a failure names the fields that differ.
#pragma once

#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "test/support/packet/packet.h"

namespace fairlead::test {

// Expects the same bytes. Fails at the caller's line.
void ExpectPacket(std::span<const uint8_t> got, const Packet& want,
                  std::source_location where = std::source_location::current());

// Expects every checksum that can be verified to be right.
void ExpectRightChecksums(std::span<const uint8_t> got,
                          std::source_location where = std::source_location::current());

// "ttl: got 64, want 63", one line a field; empty if all are the same.
std::vector<std::string> Differences(std::span<const uint8_t> got, std::span<const uint8_t> want);

}  // namespace fairlead::test
