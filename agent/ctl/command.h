// SPDX-License-Identifier: Apache-2.0
// The command line of fairleadctl.
#pragma once

namespace fairlead::ctl {

// Runs one command; text goes to stdout, errors to stderr. The exit status: 0, 1 if it could not be answered
// (or, for check, if no mode can run here), 2 if the command line was wrong.
int Main(int argc, const char* const* argv);

}  // namespace fairlead::ctl
