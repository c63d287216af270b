// SPDX-License-Identifier: Apache-2.0
// What is right and wrong of one try of an oracle flow, under the rules of ebpf mode: a client of the node
// under test is translated at its socket, packets of all others by the packet path.
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
  int forwarded = 0;  // of those, from elsewhere: sent on by n1 as they came
};

bool FromElsewhere(const OracleFlow& flow);
// What `flow` comes to in ebpf mode: section 13 of the semantics has an undefined port of a cluster IP
// rejected rather than let through.
OracleFlow::Expect ExpectedInEbpf(const OracleFlow& flow);

// The flow expects backends: one of them answered, by way of the Service, and saw the right source.
Failure JudgeReached(Lab& lab, const OracleFlow& flow, const OracleSeen& seen);
// It expects anything else. Passing a node's own address means to reach the server that the runner put there.
Failure JudgeUnreached(Lab& lab, const OracleFlow& flow, const OracleSeen& seen);

}  // namespace fairlead::test
