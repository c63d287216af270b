// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/choose.h"

#include <fmt/format.h>

#include <utility>

namespace fairlead::modes {

std::string ReasonOf(std::span<const std::string> refusals) {
  if (refusals.empty()) return "this node can run it";
  return fmt::format("this node cannot run {}", fmt::join(refusals, "; nor "));
}

std::string NoModeOf(std::span<const std::string> refusals) {
  return fmt::format("no mode can run on this node: {}", fmt::join(refusals, "; "));
}

Result<Choice> TakeFirst(std::span<const Candidate> candidates) {
  std::vector<std::string> refusals;
  for (const Candidate& candidate : candidates) {
    auto datapath = candidate.open();
    if (datapath) return Choice{candidate.mode, "auto: " + ReasonOf(refusals), std::move(*datapath)};
    refusals.push_back(fmt::format("{}: {}", ModeName(candidate.mode), datapath.error().message));
  }
  return Fail(ErrorKind::kUnsupported, "{}", NoModeOf(refusals));
}

}  // namespace fairlead::modes
