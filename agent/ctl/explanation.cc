// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explanation.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <ranges>
#include <utility>

#include "agent/datapath/ebpf/encode.h"

namespace fairlead::ctl {

namespace {

constexpr const char* kStepNames[] = {"none",
#define X(name, words) #name,
                                      FAIRLEAD_EXPLAIN_STEPS(X)
#undef X
};

uint16_t PortOf(uint64_t wire) {
  return ebpf::PortFromWire(static_cast<__be16>(wire));
}

frontend WordOf(uint64_t number) {
  frontend word{};
  std::memcpy(&word, &number, sizeof(word));
  return word;
}

Scope ScopeOf(const FrontendStep& step) {
  if (step.scope == SCOPE_EXTERNAL) return Scope::kExternal;
  return step.word.flags & FRONTEND_TWO_SCOPES ? Scope::kCluster : Scope::kAll;
}

}  // namespace

std::span<const explain_step> Explanation::Steps() const {
  return std::span(answer.step).first(std::min<size_t>(answer.steps, EXPLAIN_STEPS_MAX));
}

const explain_step* Explanation::Find(explain_step_kind kind) const {
  const explain_step* found = nullptr;
  for (const explain_step& step : Steps()) {
    if (step.kind == kind) found = &step;
  }
  return found;
}

FlowStep::FlowStep(const explain_step& step)
    : to{Address{step.addr}, PortOf(step.number[1])},
      state(static_cast<uint8_t>(step.number[0])),
      flags(static_cast<uint8_t>(step.number[0] >> 8)) {}

FrontendStep::FrontendStep(const explain_step& step)
    : address{step.addr}, word(WordOf(step.number[0])), scope(static_cast<uint32_t>(step.number[1])) {}

RunStep::RunStep(const explain_step& step)
    : service_id(static_cast<uint32_t>(step.number[0])),
      count(static_cast<uint32_t>(step.number[1] >> 8)),
      algorithm(static_cast<uint8_t>(step.number[1])) {}

BackendStep::BackendStep(const explain_step& step)
    : at{Address{step.addr}, PortOf(step.number[1] >> 8)},
      id(static_cast<uint32_t>(step.number[0])),
      flags(static_cast<uint8_t>(step.number[1])) {}

std::string StepName(uint32_t kind) {
  if (kind >= std::size(kStepNames)) return fmt::format("unknown_{}", kind);
  std::string name = kStepNames[kind];
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

std::string_view EgressName(uint64_t egress) {
  static constexpr std::string_view kNames[] = {"unknown", "stack", "device", "neighbour", "peer"};
  return egress < std::size(kNames) ? kNames[egress] : "unknown";
}

std::string_view AlgorithmName(uint8_t value) {
  return value == ALGORITHM_RANDOM ? "random" : value == ALGORITHM_MAGLEV ? "maglev" : "unknown";
}

std::string_view MasqueradeName(uint8_t frontend_flags) {
  if (frontend_flags & FRONTEND_MASQUERADE) return "all";
  return frontend_flags & FRONTEND_MASQUERADE_OUTSIDE ? "outside" : "nobody";
}

std::vector<std::string_view> RoleNames(uint64_t roles) {
  static constexpr std::pair<uint64_t, std::string_view> kNames[] = {{ADDRESS_NODE, "node"},
                                                                     {ADDRESS_LOOPBACK, "loopback"},
                                                                     {ADDRESS_CLUSTER_IP, "cluster_ip"},
                                                                     {ADDRESS_EXTERNAL, "external"}};
  std::vector<std::string_view> names;
  for (const auto& [bit, name] : kNames) {
    if (roles & bit) names.push_back(name);
  }
  return names;
}

const Frontend* FrontendOf(const Explanation& explanation, const FrontendStep& step) {
  const Question& question = explanation.question;
  for (const Frontend& frontend : explanation.snapshot.frontends) {
    if (frontend.address == step.address && frontend.port == question.to.port &&
        frontend.service.protocol == question.protocol && frontend.scope == ScopeOf(step))
      return &frontend;
  }
  return nullptr;
}

std::optional<plan::ServicePortKey> ServiceOf(const Explanation& explanation) {
  if (const explain_step* step = explanation.Find(EXPLAIN_STEP_RUN)) {
    const uint32_t id = RunStep(*step).service_id;
    auto found = std::ranges::find(explanation.snapshot.frontends, id, &Frontend::service_id);
    if (found != explanation.snapshot.frontends.end()) return found->service;
  }
  if (const explain_step* step = explanation.Find(EXPLAIN_STEP_FRONTEND)) {
    if (const Frontend* frontend = FrontendOf(explanation, FrontendStep(*step))) return frontend->service;
  }
  return std::nullopt;
}

bool IsOurs(const Explanation& explanation) {
  const explain_step* none = explanation.Find(EXPLAIN_STEP_NO_FRONTEND);
  return explanation.Find(EXPLAIN_STEP_FLOW_HIT) || explanation.Find(EXPLAIN_STEP_FRONTEND) ||
         (none && none->number[0] != 0);
}

const Backend* BackendOf(const Explanation& explanation, uint64_t id) {
  for (const Frontend& frontend : explanation.snapshot.frontends) {
    auto found = std::ranges::find(frontend.backends, id, &Backend::id);
    if (found != frontend.backends.end()) return &*found;
  }
  return nullptr;
}

}  // namespace fairlead::ctl
