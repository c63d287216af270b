// SPDX-License-Identifier: Apache-2.0
// Each step of an explanation as a sentence for people.
#include <arpa/inet.h>

#include <algorithm>

#include "agent/ctl/explanation.h"
#include "agent/ctl/verdict_words.h"
#include "agent/datapath/ebpf/flow_table.h"

namespace fairlead::ctl {

namespace {

std::string PacketWords(const Explanation& explanation) {
  const Question& q = explanation.question;
  const std::string_view protocol = kube::ProtocolName(q.protocol);
  switch (q.at) {
    case EXPLAIN_SOCKET:
      return fmt::format("{} to {} by a socket of {}, on this node", protocol, q.to.ToString(),
                         q.from.address.ToString());
    case EXPLAIN_EGRESS:
      return fmt::format("{} {} -> {}, about to leave by {}", protocol, q.from.ToString(), q.to.ToString(),
                         q.device);
    case EXPLAIN_POD:
      return fmt::format("{} {} -> {}, in by the pod device {}", protocol, q.from.ToString(), q.to.ToString(),
                         q.device);
    case EXPLAIN_UPLINK:
      break;
  }
  return fmt::format("{} {} -> {}, in by {}", protocol, q.from.ToString(), q.to.ToString(), q.device);
}

// Whether the walk ended with this entry. Else it was passed over, and a new flow begins.
bool EndsWalk(const Explanation& explanation, size_t index) {
  const auto steps = explanation.Steps();
  return index + 1 >= steps.size() || steps[index + 1].kind == EXPLAIN_STEP_ROUTE ||
         steps[index + 1].kind == EXPLAIN_STEP_VERDICT;
}

std::string FlowWords(const Explanation& explanation, size_t index) {
  const FlowStep flow(explanation.Steps()[index]);
  std::string words =
      fmt::format("{} of a known flow ({}): to {}", flow.flags & FLOW_REPLY ? "an answer" : "a packet",
                  ebpf::FlowStateName(flow.state), flow.to.ToString());
  if (flow.flags & FLOW_REPLY) words += ", from the Service's address again";
  if (flow.flags & FLOW_MASQUERADED) words += ", masqueraded";
  if (flow.flags & FLOW_DSR) words += ", in a tunnel (DSR)";
  if (!EndsWalk(explanation, index)) words += "; it is over, or its backend is gone: a new flow begins";
  return words;
}

std::string_view KindWords(Kind kind) {
  return kind == Kind::kExternal ? "an external address (of a load balancer, or an external IP)"
                                 : KindName(kind);
}

std::string FrontendWords(const Explanation& explanation, const explain_step& raw) {
  const FrontendStep step(raw);
  const Frontend* entry = FrontendOf(explanation, step);
  const auto service = entry ? std::optional(entry->service) : ServiceOf(explanation);
  std::string words = fmt::format("{}/{} is {}", AddressPort(step.address, explanation.question.to.port),
                                  kube::ProtocolName(explanation.question.protocol),
                                  service ? ServiceText(*service) : "a Service whose entry has just changed");
  if (entry) words += fmt::format(", {}", KindWords(entry->kind));
  if (step.scope == SCOPE_EXTERNAL) {
    words += "; this is its entry for clients outside (externalTrafficPolicy: Local)";
  } else if (step.word.flags & FRONTEND_TWO_SCOPES) {
    words += "; this is its entry for clients in the cluster (externalTrafficPolicy: Local)";
  }
  if (step.word.flags & FRONTEND_DSR) words += "; backends elsewhere answer clients directly (DSR)";
  if (step.word.count == 0)
    words +=
        step.word.flags & FRONTEND_DROP_IF_EMPTY ? "; no backend that its policy allows" : "; no backend";
  return words;
}

std::string NoFrontendWords(const Explanation& explanation, const explain_step& step) {
  const Question& q = explanation.question;
  const std::string port = fmt::format("{}/{}", q.to.port, kube::ProtocolName(q.protocol));
  const uint64_t roles = step.number[0];
  if (roles & ADDRESS_CLUSTER_IP)
    return fmt::format("none: the Service of cluster IP {} has no port {}", q.to.address.ToString(), port);
  if (roles & ADDRESS_EXTERNAL)
    return fmt::format("none: no Service of external address {} has a port {}", q.to.address.ToString(),
                       port);
  if (roles & (ADDRESS_NODE | ADDRESS_LOOPBACK))
    return fmt::format("none: {} is this node's, but no Service has NodePort {}", q.to.address.ToString(),
                       port);
  const auto& cidrs = explanation.snapshot.service_cidrs;
  const auto cidr = std::ranges::find_if(cidrs, [&](const Cidr& c) { return c.Contains(q.to.address); });
  if (cidr != cidrs.end())
    return fmt::format("none: no Service has {}, which is in ServiceCIDR {}", q.to.address.ToString(),
                       cidr->ToString());
  return fmt::format("none: {} is no Service's", q.to.address.ToString());
}

std::string ClientWords(const Explanation& explanation, const explain_step& step) {
  const Address client{step.addr};
  const std::string name = client.ToString();
  if (explanation.question.at == EXPLAIN_SOCKET) return fmt::format("{} is on this node", name);
  if (step.number[0] == 0) return fmt::format("{} is outside (no pod CIDR holds it)", name);
  const auto& cidrs = explanation.snapshot.pod_cidrs;
  const auto cidr = std::ranges::find_if(cidrs, [&](const Cidr& c) { return c.Contains(client); });
  return cidr == cidrs.end() ? fmt::format("{} counts as a pod: it comes from a pod's device", name)
                             : fmt::format("{} counts as a pod: {} holds it", name, cidr->ToString());
}

std::string AffinityWords(const Explanation& explanation, const explain_step& step) {
  const Question& q = explanation.question;
  const uint64_t id = step.number[0];
  if (id == 0) {
    const bool unknown = q.at == EXPLAIN_SOCKET && q.netns_cookie == 0;
    return unknown
               ? "not known: the client's network namespace, which stands for it, is not visible from here"
               : "none remembered";
  }
  const Backend* backend = BackendOf(explanation, id);
  return fmt::format("remembered: {}", backend ? AddressPort(backend->address, backend->port)
                                               : fmt::format("backend id {}", id));
}

std::string RunWords(const Explanation& explanation, const explain_step& raw) {
  const RunStep run(raw);
  const explain_step* affinity = explanation.Find(EXPLAIN_STEP_AFFINITY);
  if (affinity && affinity->number[0] != 0)
    return fmt::format("the remembered one among {} backends", run.count);
  if (run.count == 1) return "the only backend";
  if (run.algorithm == ALGORITHM_RANDOM) {
    return fmt::format("random among {} backends: another packet, and another explain, may get another one",
                       run.count);
  }
  const bool by_socket = explanation.question.at == EXPLAIN_SOCKET;
  return fmt::format("{} among {} backends: {}", AlgorithmName(run.algorithm), run.count,
                     by_socket ? "each socket has its own" : "this flow always gets the same one");
}

std::string BackendWords(const Explanation& explanation, const explain_step& raw) {
  const BackendStep backend(raw);
  const explain_step* frontend = explanation.Find(EXPLAIN_STEP_FRONTEND);
  const bool local = backend.flags & BACKEND_LOCAL;
  const bool tunnelled = !local && explanation.question.at == EXPLAIN_UPLINK && frontend &&
                         FrontendStep(*frontend).word.flags & FRONTEND_DSR;
  return fmt::format("{} ({}{}{})", backend.at.ToString(), local ? "on this node" : "on another node",
                     backend.flags & BACKEND_TERMINATING ? ", terminating" : "",
                     tunnelled ? ", in a tunnel" : "");
}

// tc_explain takes no port: it shows the one that is tried first.
std::string MasqueradeWords(const Explanation& explanation, const explain_step& step) {
  const Endpoint source{Address{step.addr}, ntohs(static_cast<uint16_t>(step.number[0]))};
  if (source.address == explanation.question.from.address)
    return fmt::format("{}: its own port is taken towards this backend", source.ToString());
  return fmt::format("{} instead of {} (masqueraded); another port if that one is taken", source.ToString(),
                     explanation.question.from.ToString());
}

std::string RouteWords(const Explanation& explanation, const explain_step& step) {
  const std::string device = explanation.devices.Name(static_cast<uint32_t>(step.number[0]));
  switch (step.number[1]) {
    case EGRESS_STACK:
      return "up this node's stack, which routes or delivers it";
    case EGRESS_DEVICE:
      return fmt::format("out by {}", device);
    case EGRESS_NEIGH:
      return fmt::format("out by {}, the kernel finds the neighbour", device);
    case EGRESS_PEER:
      return fmt::format("straight into the pod behind {}", device);
    default:
      return "looked up with the next packet";
  }
}

std::string VerdictStepWords(const explain_step& step) {
  if (step.number[0] >= Verdicts().size()) return fmt::format("of number {}, unknown here", step.number[0]);
  const VerdictWords& verdict = Verdicts()[step.number[0]];
  return fmt::format("{}: {}", verdict.name, verdict.meaning);
}

}  // namespace

std::string_view StepLabel(uint32_t kind) {
  switch (kind) {
    case EXPLAIN_STEP_PACKET:
      return "packet";
    case EXPLAIN_STEP_FLOW_HIT:
    case EXPLAIN_STEP_FLOW_MISS:
      return "conntrack";
    case EXPLAIN_STEP_FRONTEND:
    case EXPLAIN_STEP_NO_FRONTEND:
      return "frontend";
    case EXPLAIN_STEP_CLIENT:
      return "client";
    case EXPLAIN_STEP_SOURCE_RANGES:
      return "ranges";
    case EXPLAIN_STEP_AFFINITY:
      return "affinity";
    case EXPLAIN_STEP_RUN:
      return "choose";
    case EXPLAIN_STEP_BACKEND:
      return "backend";
    case EXPLAIN_STEP_MASQUERADE:
      return "source";
    case EXPLAIN_STEP_ROUTE:
      return "route";
    case EXPLAIN_STEP_VERDICT:
      return "verdict";
    default:
      return "?";
  }
}

std::string UnseenWords(const Explanation& explanation) {
  const Question& question = explanation.question;
  const std::string who = question.protocol == kube::Protocol::kTcp
                              ? fmt::format("neither {} nor {} has", question.to.address.ToString(),
                                            question.from.address.ToString())
                              : fmt::format("{} does not have", question.to.address.ToString());
  if (!IsOurs(explanation))
    return fmt::format("{} a bit in the table destinations: passed without a look at the tables", who);
  return fmt::format(
      "WRONG: {} a bit in the table destinations, so the programs pass this packet and nothing below "
      "happens; please report it",
      who);
}

std::string StepWords(const Explanation& explanation, size_t index) {
  const explain_step& step = explanation.Steps()[index];
  switch (step.kind) {
    case EXPLAIN_STEP_PACKET:
      return PacketWords(explanation);
    case EXPLAIN_STEP_FLOW_HIT:
      return FlowWords(explanation, index);
    case EXPLAIN_STEP_FLOW_MISS:
      return "no entry: a new flow";
    case EXPLAIN_STEP_FRONTEND:
      return FrontendWords(explanation, step);
    case EXPLAIN_STEP_NO_FRONTEND:
      return NoFrontendWords(explanation, step);
    case EXPLAIN_STEP_CLIENT:
      return ClientWords(explanation, step);
    case EXPLAIN_STEP_SOURCE_RANGES:
      return step.number[0] ? "allowed by loadBalancerSourceRanges" : "in none of loadBalancerSourceRanges";
    case EXPLAIN_STEP_AFFINITY:
      return AffinityWords(explanation, step);
    case EXPLAIN_STEP_RUN:
      return RunWords(explanation, step);
    case EXPLAIN_STEP_BACKEND:
      return BackendWords(explanation, step);
    case EXPLAIN_STEP_MASQUERADE:
      return MasqueradeWords(explanation, step);
    case EXPLAIN_STEP_ROUTE:
      return RouteWords(explanation, step);
    case EXPLAIN_STEP_VERDICT:
      return VerdictStepWords(step);
    default:
      return fmt::format("a step of kind {}, unknown here", step.kind);
  }
}

}  // namespace fairlead::ctl
