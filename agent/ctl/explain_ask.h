// SPDX-License-Identifier: Apache-2.0
// Puts a question to tc_explain, the pinned program that walks an imaginary packet over the live tables.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/ctl/explain_request.h"

namespace fairlead::ctl {

// The steps of the walk. Nothing but the table `explain` is written, by one fairleadctl at a time: a second
// waits some seconds. Must run in the network namespace of the question's device. kNotFound if no agent with
// a packet path has pinned under `bpffs_dir`.
Result<::explain> Ask(const std::string& bpffs_dir, const Question& question);

}  // namespace fairlead::ctl
