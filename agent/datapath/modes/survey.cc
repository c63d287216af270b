// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/datapath/iptables/iptables.h"
#include "agent/datapath/ipvs/ipvs.h"
#include "agent/datapath/modes/choose.h"
#include "agent/datapath/nftables/nftables.h"

namespace fairlead::modes {

namespace {

ebpf::ProbeResult ResultOf(Mode mode, const Result<std::string>& found, std::string meaning) {
  ebpf::ProbeResult probe;
  probe.name = ModeName(mode);
  probe.outcome = found                         ? ebpf::Outcome::kYes
                  : found.error().code == EPERM ? ebpf::Outcome::kError
                                                : ebpf::Outcome::kNo;
  probe.detail = found ? *found : found.error().message;
  probe.meaning = std::move(meaning);
  return probe;
}

// Why this mode cannot run; nothing if it can.
std::optional<std::string> Refusal(Mode mode, const std::vector<ebpf::ProbeResult>& probes) {
  if (mode == Mode::kEbpf) {
    std::string reason;
    if (ebpf::CanRunEbpf(probes, &reason)) return std::nullopt;
    return reason;
  }
  auto probe = std::ranges::find(probes, ModeName(mode), &ebpf::ProbeResult::name);
  if (probe == probes.end()) return "was not probed";
  if (probe->outcome == ebpf::Outcome::kYes) return std::nullopt;
  return probe->detail;
}

}  // namespace

Survey Judge(std::vector<ebpf::ProbeResult> probes) {
  Survey survey;
  survey.probes = std::move(probes);
  std::vector<std::string> refusals;
  for (Mode mode : kModes) {
    auto refusal = Refusal(mode, survey.probes);
    if (!refusal) {
      survey.taken = mode;
      survey.reason = ReasonOf(refusals);
      return survey;
    }
    refusals.push_back(fmt::format("{}: {}", ModeName(mode), *refusal));
  }
  survey.reason = NoModeOf(refusals);
  return survey;
}

Survey Look(const ebpf::ProbeOptions& options) {
  std::vector<ebpf::ProbeResult> probes = ebpf::ProbeKernel(options);
  probes.push_back(
      ResultOf(Mode::kNftables, nftables::Probe(), "nftables mode; in ebpf mode, SCTP beside it"));
  probes.push_back(ResultOf(Mode::kIpvs, ipvs::Probe(), "ipvs mode"));
  probes.push_back(ResultOf(Mode::kIptables, iptables::Probe(),
                            "iptables mode; in ebpf mode, SCTP beside it where nftables cannot"));
  return Judge(std::move(probes));
}

}  // namespace fairlead::modes
