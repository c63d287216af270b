// SPDX-License-Identifier: Apache-2.0
// An entry of the flow table in words:
//
//   TCP 203.0.113.2:20000 > 198.51.100.4:80 becomes 192.168.99.11:20000 > 10.180.1.11:8080, syn, masqueraded
//   TCP 10.180.1.11:8080 > 192.168.99.11:20000 becomes 198.51.100.4:80 > 203.0.113.2:20000, syn, reply,
//   masqueraded
#pragma once

#include <string>
#include <string_view>

#include "maps/conntrack.h"

namespace fairlead::test {

std::string FlowText(const flow& entry);
std::string_view StateWord(uint8_t state);    // "established"
std::string_view EgressWord(uint8_t egress);  // "stack"

}  // namespace fairlead::test
