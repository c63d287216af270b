// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/json.h"
#include "agent/ctl/render.h"
#include "agent/ctl/text_table.h"

namespace fairlead::ctl {

std::string RenderCheck(const modes::Survey& survey, Format format) {
  const std::string_view taken = survey.taken ? modes::ModeName(*survey.taken) : "";
  if (format == Format::kJson) {
    JsonWriter json;
    json.BeginObject().Member("mode", taken).Member("reason", survey.reason).BeginArray("probes");
    for (const ebpf::ProbeResult& probe : survey.probes) {
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
  for (const ebpf::ProbeResult& probe : survey.probes) {
    table.Add({probe.name, std::string(ebpf::OutcomeName(probe.outcome)), probe.detail,
               probe.required ? probe.meaning + " (required by ebpf mode)" : probe.meaning});
  }
  const std::string verdict =
      survey.taken ? fmt::format("auto takes {}: {}", taken, survey.reason) : survey.reason;
  return table.Render() + "\n" + verdict + "\n";
}

}  // namespace fairlead::ctl
