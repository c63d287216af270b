// SPDX-License-Identifier: Apache-2.0
// fairleadctl conntrack and affinity: the words of the command line, and their answer from the pinned tables.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/ctl/conntrack.h"
#include "agent/ctl/pinned.h"
#include "agent/ctl/render.h"

namespace CLI {
class App;
}

namespace fairlead::ctl {

enum class FlowAction { kList, kCount, kDelete };

// As typed.
struct FlowWords {
  std::string action = "list";
  std::string src = {};
  std::string dst = {};
  std::string backend = {};
  std::string service = {};
  std::string state = {};
  std::string protocol = {};
  bool all = false;
};

struct FlowRequest {
  FlowAction action = FlowAction::kList;
  FlowFilter filter;
};

// Makes the words options of the command.
void AddConntrackOptions(CLI::App& command, FlowWords& words);
void AddAffinityOptions(CLI::App& command, FlowWords& words);

// kInvalid for a word that makes no sense, and for a deletion of everything that does not say --all.
Result<FlowRequest> ParseFlowRequest(const FlowWords& words);

// Whole lines. List and count only read; what is shown is mapped for reading. Names of devices are those of
// the network namespace this runs in, the node's.
Result<std::string> Conntrack(const Pinned& pinned, const std::string& bpffs_dir, const FlowRequest& request,
                              Format format);
Result<std::string> Affinity(const Pinned& pinned, const std::string& bpffs_dir, const FlowRequest& request,
                             Format format);

}  // namespace fairlead::ctl
