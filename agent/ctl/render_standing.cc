// SPDX-License-Identifier: Apache-2.0
// Datapaths whose state is not pinned: where to look is all there is to say.
#include "agent/ctl/json.h"
#include "agent/ctl/render.h"

namespace fairlead::ctl {

std::string StandingText(std::span<const modes::Standing> standing) {
  std::vector<std::string> words;
  for (const modes::Standing& stands : standing)
    words.push_back(
        fmt::format("{} mode serves this node: `{}` shows it", modes::ModeName(stands.mode), stands.look));
  return fmt::format("{}", fmt::join(words, "; "));
}

std::string RenderStandingStatus(std::span<const modes::Standing> standing, Format format) {
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginObject().Member("mode", modes::ModeName(standing.front().mode)).BeginArray("standing");
    for (const modes::Standing& stands : standing) {
      json.BeginObject().Member("mode", modes::ModeName(stands.mode)).Member("look", stands.look).EndObject();
    }
    json.EndArray().EndObject();
    return std::move(json).Take();
  }
  std::string text;
  for (const modes::Standing& stands : standing) {
    text += fmt::format("{:<14}{}\n{:<14}{}\n", "mode", modes::ModeName(stands.mode), "look at", stands.look);
  }
  return text;
}

}  // namespace fairlead::ctl
