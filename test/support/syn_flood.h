// SPDX-License-Identifier: Apache-2.0
// An attacker: SYNs of clients that do not exist, as fast as one socket sends.
#pragma once

#include "test/support/client.h"

namespace fairlead::test {

// Sends `count` SYNs to an IPv4 target from a host, each from another address of 198.18.0.0/15 (RFC 2544, for
// tests) and another port. Throws std::runtime_error.
void SynFlood(const Namespace& from, const Target& to, int count);

}  // namespace fairlead::test
