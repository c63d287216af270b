// SPDX-License-Identifier: Apache-2.0
// A frame, field by field, as people name them; what an ICMP error quotes and a tunnel carries likewise.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "test/support/packet/bytes.h"

namespace fairlead::test {

struct Field {
  std::string name;   // "ttl", "quoted source port"
  std::string value;  // checksums with "(right)", "(wrong, 1a2b is right)" or, of a part, "(of a part)"
  friend bool operator==(const Field&, const Field&) = default;
};

// Never fails: what cannot be read is one field "rest" with its bytes.
std::vector<Field> Dissect(std::span<const uint8_t> frame);

// "203.0.113.2:40000 > 198.51.100.4:80 TCP SYN"
std::string Brief(std::span<const uint8_t> frame);

}  // namespace fairlead::test
