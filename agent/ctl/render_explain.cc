// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include "agent/ctl/explanation.h"
#include "agent/ctl/json.h"
#include "agent/ctl/verdict_words.h"
#include "agent/datapath/ebpf/flow_table.h"

namespace fairlead::ctl {

namespace {

void AddEndpoint(JsonWriter& json, std::string_view name, const Endpoint& endpoint) {
  json.BeginObject(name)
      .Member("address", endpoint.address.ToString())
      .Member("port", endpoint.port)
      .EndObject();
}

void AddService(JsonWriter& json, const Explanation& explanation) {
  const auto service = ServiceOf(explanation);
  if (!service) return;
  json.Member("namespace", service->service.ns)
      .Member("name", service->service.name)
      .Member("port_name", service->port);
}

void AddVerdict(JsonWriter& json, uint64_t number) {
  if (number >= Verdicts().size()) return;
  const VerdictWords& verdict = Verdicts()[number];
  json.Member("verdict", verdict.name).Member("action", verdict.action).Member("meaning", verdict.meaning);
}

void AddFlow(JsonWriter& json, const FlowStep& flow) {
  json.Member("address", flow.to.address.ToString())
      .Member("port", flow.to.port)
      .Member("state", ebpf::FlowStateName(flow.state))
      .Member("reply", (flow.flags & FLOW_REPLY) != 0)
      .Member("masqueraded", (flow.flags & FLOW_MASQUERADED) != 0)
      .Member("dsr", (flow.flags & FLOW_DSR) != 0);
}

void AddFrontend(JsonWriter& json, const Explanation& explanation, const FrontendStep& step) {
  json.Member("address", step.address.ToString())
      .Member("port", explanation.question.to.port)
      .Member("scope", step.scope == SCOPE_EXTERNAL ? "external" : "cluster")
      .Member("two_scopes", step.scope == SCOPE_EXTERNAL || step.word.flags & FRONTEND_TWO_SCOPES)
      .Member("backend_count", step.word.count)
      .Member("algorithm", AlgorithmName(step.word.algorithm))
      .Member("affinity", (step.word.flags & FRONTEND_AFFINITY) != 0)
      .Member("source_ranges", (step.word.flags & FRONTEND_SOURCE_RANGES) != 0)
      .Member("masquerade", MasqueradeName(step.word.flags))
      .Member("dsr", (step.word.flags & FRONTEND_DSR) != 0)
      .Member("when_empty", step.word.flags & FRONTEND_DROP_IF_EMPTY ? "drop" : "reject");
  if (const Frontend* entry = FrontendOf(explanation, step)) json.Member("kind", KindName(entry->kind));
}

void AddBackend(JsonWriter& json, const BackendStep& backend) {
  json.Member("id", backend.id)
      .Member("address", backend.at.address.ToString())
      .Member("port", backend.at.port)
      .Member("local", (backend.flags & BACKEND_LOCAL) != 0)
      .Member("terminating", (backend.flags & BACKEND_TERMINATING) != 0);
}

void AddRoute(JsonWriter& json, const Explanation& explanation, const explain_step& step) {
  json.Member("egress", EgressName(step.number[1])).Member("ifindex", step.number[0]);
  if (step.number[0] != 0)
    json.Member("device", explanation.devices.Name(static_cast<uint32_t>(step.number[0])));
}

// Members of one kind of step, beside its name and words.
void AddNumbers(JsonWriter& json, const Explanation& explanation, const explain_step& step) {
  switch (step.kind) {
    case EXPLAIN_STEP_FLOW_HIT:
      return AddFlow(json, FlowStep(step));
    case EXPLAIN_STEP_FRONTEND:
      return AddFrontend(json, explanation, FrontendStep(step));
    case EXPLAIN_STEP_NO_FRONTEND:
      json.BeginArray("roles");
      for (std::string_view role : RoleNames(step.number[0])) json.Member("", role);
      json.EndArray();
      return;
    case EXPLAIN_STEP_CLIENT:
      json.Member("address", Address{step.addr}.ToString()).Member("pod", step.number[0] != 0);
      return;
    case EXPLAIN_STEP_SOURCE_RANGES:
      json.Member("allowed", step.number[0] != 0);
      return;
    case EXPLAIN_STEP_AFFINITY:
      json.Member("backend_id", step.number[0]);
      return;
    case EXPLAIN_STEP_RUN:
      json.Member("service_id", RunStep(step).service_id)
          .Member("backend_count", RunStep(step).count)
          .Member("algorithm", AlgorithmName(RunStep(step).algorithm));
      return;
    case EXPLAIN_STEP_BACKEND:
      return AddBackend(json, BackendStep(step));
    case EXPLAIN_STEP_MASQUERADE:
      json.Member("address", Address{step.addr}.ToString())
          .Member("port", ntohs(static_cast<uint16_t>(step.number[0])));
      return;
    case EXPLAIN_STEP_ROUTE:
      return AddRoute(json, explanation, step);
    case EXPLAIN_STEP_VERDICT:
      return AddVerdict(json, step.number[0]);
    default:
      return;
  }
}

std::string ExplanationJson(const Explanation& explanation) {
  const Question& question = explanation.question;
  JsonWriter json;
  json.BeginObject()
      .Member("protocol", kube::ProtocolName(question.protocol))
      .Member("at", AtName(question.at))
      .Member("device", question.device);
  AddEndpoint(json, "from", question.from);
  AddEndpoint(json, "to", question.to);
  AddService(json, explanation);
  json.Member("unseen", explanation.unseen);
  if (explanation.unseen) json.Member("filter", UnseenWords(explanation));
  if (const explain_step* verdict = explanation.Find(EXPLAIN_STEP_VERDICT))
    AddVerdict(json, verdict->number[0]);
  json.BeginArray("steps");
  const auto steps = explanation.Steps();
  for (size_t i = 0; i < steps.size(); ++i) {
    json.BeginObject().Member("step", StepName(steps[i].kind)).Member("words", StepWords(explanation, i));
    AddNumbers(json, explanation, steps[i]);
    json.EndObject();
  }
  json.EndArray().EndObject();
  return std::move(json).Take();
}

}  // namespace

std::string RenderExplanation(const Explanation& explanation, Format format) {
  if (format == Format::kJson) return ExplanationJson(explanation);
  std::string text;
  const auto steps = explanation.Steps();
  for (size_t i = 0; i < steps.size(); ++i) {
    text += fmt::format("{:<10}{}\n", StepLabel(steps[i].kind), StepWords(explanation, i));
    if (i == 0 && explanation.unseen) text += fmt::format("{:<10}{}\n", "filter", UnseenWords(explanation));
  }
  if (!explanation.Find(EXPLAIN_STEP_VERDICT))
    text += fmt::format("{:<10}not reached: the walk has more steps than are kept\n", "verdict");
  return text;
}

}  // namespace fairlead::ctl
