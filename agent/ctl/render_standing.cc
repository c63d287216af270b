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

std::string FlowsElsewhereText(std::span<const modes::Standing> standing) {
  std::vector<std::string> words;
  for (const modes::Standing& stands : standing) {
    words.push_back(
        fmt::format("in {} mode `{}` shows them", modes::ModeName(stands.mode),
                    stands.mode == modes::Mode::kIpvs ? "ipvsadm -Lnc" : "conntrack -L --dst-nat"));
  }
  return fmt::format("conntrack reads the flows of ebpf mode; {}", fmt::join(words, ", "));
}

std::string RenderStandingStatus(std::span<const modes::Standing> standing, Format format,
                                 std::optional<uint64_t> waiting) {
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginObject().Member("mode", modes::ModeName(standing.front().mode)).BeginArray("standing");
    for (const modes::Standing& stands : standing) {
      json.BeginObject().Member("mode", modes::ModeName(stands.mode)).Member("look", stands.look).EndObject();
    }
    json.EndArray();
    if (waiting) json.Member("pending_service_ports", *waiting);
    json.EndObject();
    return std::move(json).Take();
  }
  std::string text;
  for (const modes::Standing& stands : standing) {
    text += fmt::format("{:<14}{}\n{:<14}{}\n", "mode", modes::ModeName(stands.mode), "look at", stands.look);
  }
  return text + WaitingText(waiting);
}

std::string WaitingText(std::optional<uint64_t> waiting) {
  if (waiting.value_or(0) == 0) return "";
  return fmt::format("{:<14}{} service ports, whose last change is not in the kernel: see the agent's log\n",
                     "waiting", *waiting);
}

}  // namespace fairlead::ctl
