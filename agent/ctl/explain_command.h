// SPDX-License-Identifier: Apache-2.0
// fairleadctl explain: gathers what is known of this node, asks tc_explain, and says the answer in words.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/ctl/explain_request.h"
#include "agent/ctl/pinned.h"
#include "agent/ctl/render.h"

namespace CLI {
class App;
}

namespace fairlead::ctl {

// Makes the words options of the command.
void AddExplainOptions(CLI::App& command, ExplainWords& words);

// Whole lines. To be run in the node's network namespace: routes and devices are read there.
Result<std::string> Explain(const Pinned& pinned, const std::string& bpffs_dir, const ExplainRequest& request,
                            Format format);

}  // namespace fairlead::ctl
