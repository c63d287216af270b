// SPDX-License-Identifier: Apache-2.0
#include "test/support/oracle_runner.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using Failure = std::optional<std::string>;

constexpr milliseconds kSilence{200};    // this long without an answer, where none should come, is none
constexpr milliseconds kPatience{2000};  // with an answer that should come
constexpr milliseconds kAtOnce{500};     // a reject comes within: before a SYN is sent again (1 s)
constexpr int kTriesPerBackend = 32;     // all of n backends are seen, but for odds below 1e-8
constexpr int kFewestTries = 6;

Proto ProtoOf(const OracleFlow& flow) {
  return flow.protocol == "UDP" ? Proto::kUdp : Proto::kTcp;
}

// Section 13 of the semantics: an undefined port of a cluster IP is rejected rather than let through.
OracleFlow::Expect ExpectedInEbpf(const OracleFlow& flow) {
  return flow.expect == OracleFlow::Expect::kPassthrough && flow.nftables_rejects
             ? OracleFlow::Expect::kReject
             : flow.expect;
}

bool Holds(const std::vector<std::string>& list, const std::string& word) {
  return std::ranges::find(list, word) != list.end();
}

std::string Part(int count, std::string_view one, std::string_view many) {
  return count == 0 ? "" : fmt::format("{} {}", count, count == 1 ? one : many);
}

}  // namespace

OracleCount& OracleCount::operator+=(const OracleCount& other) {
  flows += other.flows;
  http += other.http;
  elsewhere += other.elsewhere;
  sctp += other.sctp;
  health_checks += other.health_checks;
  conntrack += other.conntrack;
  metrics += other.metrics;
  return *this;
}

std::string OracleCount::NotJudged() const {
  std::vector<std::string> parts{
      Part(elsewhere, "flow from elsewhere", "flows from elsewhere"), Part(sctp, "SCTP flow", "SCTP flows"),
      Part(health_checks, "health check node port", "health check node ports"),
      Part(conntrack, "conntrack entry", "conntrack entries"), Part(metrics, "metric", "metrics")};
  std::erase(parts, "");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<std::string> OracleRunner::Play(const OracleCase& played) {
  for (const auto& step : played.steps) PlayStep(step);
  sockets_.clear();
  agent_.Apply("cluster.json", ToJsonList({}));
  return std::move(failures_);
}

void OracleRunner::PlayStep(const OracleStep& step) {
  for (const auto& [address, port] : EndpointsOf(step.objects))
    lab_.Serve(AddressPort(*Address::Parse(address), port));
  agent_.Apply("cluster.json", ToJsonList(step.objects));
  const size_t before = failures_.size();
  for (const auto& flow : step.flows) PlayFlow(flow);
  for (const auto& http : step.http) PlayHttp(http);
  if (!step.name.empty()) {
    for (size_t i = before; i < failures_.size(); ++i) failures_[i] = step.name + ": " + failures_[i];
  }
  count_.health_checks += step.health_checks;
  count_.conntrack += step.conntrack;
  count_.metrics += step.metrics;
}

void OracleRunner::PlayFlow(const OracleFlow& flow) {
  if (flow.from == OracleFlow::From::kElsewhere) {
    ++count_.elsewhere;
    return;
  }
  if (flow.protocol == "SCTP") {
    ++count_.sctp;
    return;
  }
  ++count_.flows;
  const Failure failure =
      flow.expect == OracleFlow::Expect::kBackends ? PlayBackends(flow) : JudgeUnreached(flow, Try(flow));
  if (failure)
    failures_.push_back(fmt::format("{} to {} {}: {}", flow.name, flow.protocol, flow.to, *failure));
}

const Namespace& OracleRunner::HomeOf(const OracleFlow& flow) {
  return flow.from == OracleFlow::From::kPod ? lab_.HomeOf(*Address::Parse(flow.from_ip)) : lab_.N1().Net();
}

Client& OracleRunner::KeptSocket(const OracleFlow& flow, const Namespace& netns) {
  auto& socket = sockets_[flow.name];
  if (!socket) {
    const Target to = Target::Parse(flow.to);
    socket = std::make_unique<Client>(netns, ProtoOf(flow), to.address.GetFamily(),
                                      ClientOptions{.bind_port = flow.from_port, .timeout = kPatience});
  }
  return *socket;
}

OracleRunner::Seen OracleRunner::Try(const OracleFlow& flow) {
  const Namespace& netns = HomeOf(flow);
  const Target to = Target::Parse(flow.to);
  Capture capture(netns);
  Seen seen;
  if (flow.same_socket) {
    seen.outcome = KeptSocket(flow, netns).AskAt(to, "?");
  } else {
    const auto timeout = flow.expect == OracleFlow::Expect::kBackends ? kPatience : kSilence;
    seen.outcome = Connect(netns, ProtoOf(flow), to, {.bind_port = flow.from_port, .timeout = timeout});
  }
  seen.packets = capture.Take(ProtoOf(flow), to);
  return seen;
}

Failure OracleRunner::PlayBackends(const OracleFlow& flow) {
  std::set<std::string> reached;
  const size_t wanted = flow.sticky || flow.same_socket ? 1 : flow.backends.size();
  const int most = kTriesPerBackend * static_cast<int>(wanted);
  for (int i = 0; i < most && (i < kFewestTries || reached.size() < wanted); ++i) {
    const Seen seen = Try(flow);
    if (const Failure failure = JudgeReached(flow, seen)) return failure;
    reached.insert(seen.outcome.backend);
  }
  if (reached.size() == wanted) return std::nullopt;
  return fmt::format("expected {} of [{}], reached [{}]", wanted, fmt::join(flow.backends, " "),
                     fmt::join(reached, " "));
}

Failure OracleRunner::JudgeReached(const OracleFlow& flow, const Seen& seen) {
  const Outcome& got = seen.outcome;
  if (got.end != End::kReached)
    return fmt::format("expected one of [{}], got {}", fmt::join(flow.backends, " "), got.ToString());
  if (!Holds(flow.backends, got.backend))
    return fmt::format("expected one of [{}], {}", fmt::join(flow.backends, " "), got.ToString());
  if (got.peer.ToString() != flow.to)
    return fmt::format("expected the peer to be {}, {}", flow.to, got.ToString());
  // Translated at its socket, a client is seen with an address of its own, whatever the case says of
  // masquerading.
  const bool own =
      flow.from == OracleFlow::From::kPod
          ? got.source.address.ToString() == flow.from_ip
          : got.source.address.IsLoopback() || &lab_.HomeOf(got.source.address) == &lab_.N1().Net();
  if (!own) return fmt::format("expected the client's own source, {}", got.ToString());
  if (!flow.must_stay_on.empty() && !Holds(flow.must_stay_on, got.backend))
    return fmt::format("expected to stay on [{}], {}", fmt::join(flow.must_stay_on, " "), got.ToString());
  if (!flow.sticky) return std::nullopt;
  const auto known = stuck_.find(flow.same_backend_as);
  if (known != stuck_.end() && known->second != got.backend)
    return fmt::format("expected the backend of {}, {}, {}", flow.same_backend_as, known->second,
                       got.ToString());
  stuck_[flow.name] = got.backend;
  return std::nullopt;
}

Failure OracleRunner::JudgeUnreached(const OracleFlow& flow, const Seen& seen) const {
  const Outcome& got = seen.outcome;
  switch (ExpectedInEbpf(flow)) {
    case OracleFlow::Expect::kReject:
      if (got.end != End::kRefused || got.took > kAtOnce)
        return "expected a reject at once, got " + got.ToString();
      if (seen.packets > 0) return std::string("expected a reject at the socket, but a packet left");
      return std::nullopt;
    case OracleFlow::Expect::kDrop:
      if (got.end != End::kUnreachable && got.end != End::kSilent)
        return "expected a drop, got " + got.ToString();
      if (seen.packets > 0) return std::string("expected a drop at the socket, but a packet left");
      return std::nullopt;
    default:
      if (got.end == End::kReached && got.backend != flow.to)
        return "expected no translation, got " + got.ToString();
      if (seen.packets == 0) return "expected a packet to leave as it was, got " + got.ToString();
      return std::nullopt;
  }
}

void OracleRunner::PlayHttp(const OracleHttp& http) {
  ++count_.http;
  const HttpAnswer got =
      HttpGet(lab_.N1().Net(), Target::Parse(fmt::format("{}:{}", lab_.N1().Ip(), http.port)), http.path);
  if (got.status != http.status) {
    failures_.push_back(
        fmt::format("{}: expected {}, got {} {}", http.path, http.status, got.status, got.body));
    return;
  }
  YAML::Node body;
  try {
    body = YAML::Load(got.body);  // JSON is YAML
  } catch (const YAML::Exception& e) {
    failures_.push_back(fmt::format("{}: the body does not parse: {}: {}", http.path, e.what(), got.body));
    return;
  }
  for (const auto& [field, value] : http.json) {
    if (!body.IsMap() || !body[field] || !body[field].IsScalar() || body[field].Scalar() != value)
      failures_.push_back(fmt::format("{}: expected {} {}, got {}", http.path, field, value, got.body));
  }
}

}  // namespace fairlead::test
