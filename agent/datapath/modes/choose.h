// SPDX-License-Identifier: Apache-2.0
// What auto does: the first of several that opens, and why none before it.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "agent/datapath/modes/modes.h"

namespace fairlead::modes {

// A mode that may be taken. `open` gives its datapath, or why this node cannot run it.
struct Candidate {
  Mode mode = Mode::kEbpf;
  std::function<Result<std::unique_ptr<datapath::Datapath>>()> open;
};

// None is opened after the one that is taken. kUnsupported, with every reason, if there is none.
Result<Choice> TakeFirst(std::span<const Candidate> candidates);

// In words: why a mode was taken after these refusals ("ebpf: missing btf"), and why none was.
std::string ReasonOf(std::span<const std::string> refusals);
std::string NoModeOf(std::span<const std::string> refusals);

}  // namespace fairlead::modes
