// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/json.h"
#include "agent/ctl/render.h"
#include "agent/ctl/text_table.h"

namespace fairlead::ctl {

std::string RenderCheck(std::span<const ebpf::ProbeResult> probes, Format format) {
  std::string reason;
  const bool runs = ebpf::CanRunEbpf(probes, &reason);
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginObject().Member("mode", runs ? "ebpf" : "").Member("reason", reason).BeginArray("probes");
    for (const ebpf::ProbeResult& probe : probes) {
      json.BeginObject()
          .Member("name", probe.name)
          .Member("outcome", ebpf::OutcomeName(probe.outcome))
          .Member("required", probe.required)
          .Member("detail", probe.detail)
          .Member("meaning", probe.meaning)
          .EndObject();
    }
    json.EndArray().EndObject();
    return std::move(json).Take();
  }
  TextTable table({{"PROBE"}, {"RESULT"}, {"FOUND"}, {"WHAT IT MEANS"}});
  for (const ebpf::ProbeResult& probe : probes) {
    table.Add({probe.name, std::string(ebpf::OutcomeName(probe.outcome)), probe.detail,
               probe.required ? probe.meaning + " (required)" : probe.meaning});
  }
  const std::string verdict =
      runs ? fmt::format("auto takes ebpf: {}", reason)
           : fmt::format("ebpf cannot run here, and this version has no other mode: {}", reason);
  return table.Render() + "\n" + verdict + "\n";
}

}  // namespace fairlead::ctl
