// SPDX-License-Identifier: Apache-2.0
// Runs a program to its end: what it is given, what it says, and how long it may take.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace fairlead {

struct Executed {
  int status = 0;      // exit status; 128 + signal if one ended it
  std::string output;  // stdout
  std::string errors;  // stderr, its last 64 KiB
};

struct ExecOptions {
  std::vector<std::string> argv;              // argv[0] by PATH, /usr/sbin and /sbin included
  std::string_view input;                     // to stdin; the descriptor is closed after it
  std::chrono::milliseconds deadline{30000};  // then SIGKILL, and kUnavailable
};

// Whatever status the program ends with is a success of Execute. Errors: kNotFound where there is no such
// program, kUnavailable after the deadline. Descriptors of the agent do not reach the program; SIGPIPE and
// the signal mask are as a shell would give them. Any thread.
Result<Executed> Execute(const ExecOptions& options);

// The same, and a status other than 0 is an error too: "nft: <last line of stderr>", or "nft: died of
// SIGSEGV".
Result<std::string> ExecuteOrFail(const ExecOptions& options);

}  // namespace fairlead
