// SPDX-License-Identifier: Apache-2.0
// What is right and wrong of one try of an oracle flow. In ebpf mode a client of the node under test is
// translated at its socket; in the other modes, and of all other clients, it is packets that are.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "test/support/lab.h"
#include "test/support/oracle_case.h"

namespace fairlead::test {

// Nothing if all is as expected, else "expected ..., got ...".
using Failure = std::optional<std::string>;

struct OracleSeen {
  Outcome outcome;
  int packets = 0;    // to the flow's own destination, on any device of the client's namespace
  int forwarded = 0;  // of those, sent on by n1 as they came
};

bool FromElsewhere(const OracleFlow& flow);
// The client is translated before there is a packet.
bool AtSocket(const OracleFlow& flow, Mode mode);

// The flow expects backends: one of them answered, by way of the Service, and saw the right source.
Failure JudgeReached(Lab& lab, Mode mode, const OracleFlow& flow, const OracleSeen& seen);
// It expects anything else. Passing a node's own address means to reach the server that the runner put there.
Failure JudgeUnreached(Lab& lab, Mode mode, const OracleFlow& flow, const OracleSeen& seen);

}  // namespace fairlead::test
