// SPDX-License-Identifier: Apache-2.0
#include "test/support/oracle_runner.h"

#include <charconv>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kSilence{200};    // this long without an answer, where none should come, is none
constexpr milliseconds kPatience{5000};  // with an answer that should come
// Entries of nf_conntrack are cleared after the rules are written, not with them, and a pass is followed by
// a rest of twenty times its own length: on a machine that has many entries, of whatever namespace, seconds.
constexpr milliseconds kClearing{5000};
constexpr milliseconds kSweeping{1000};  // ebpf mode closes connected sockets of a removed backend within
// ipvs mode looks every 2 s for servers that nobody wants and nobody is connected through.
constexpr milliseconds kLeaving{3000};
constexpr int kTriesPerBackend = 32;  // all of n backends are seen, but for odds below 1e-8
constexpr int kFewestTries = 6;
constexpr std::string_view kSettleServer = "AC1EFFFE:";  // 172.30.255.254, of Agent::Settle

Proto ProtoOf(const std::string& word) {
  if (word == "UDP") return Proto::kUdp;
  return word == "SCTP" ? Proto::kSctp : Proto::kTcp;
}

std::string Part(int count, std::string_view one, std::string_view many) {
  return count == 0 ? "" : fmt::format("{} {}", count, count == 1 ? one : many);
}

// The sum of the samples of `metric` with this traffic_policy.
double SumOf(const std::string& exposition, const std::string& metric, std::string_view policy) {
  double sum = 0;
  for (size_t line = 0; line < exposition.size();) {
    const size_t end = std::min(exposition.find('\n', line), exposition.size());
    const std::string_view sample(exposition.data() + line, end - line);
    line = end + 1;
    if (!sample.starts_with(metric + "{") ||
        sample.find(fmt::format("traffic_policy=\"{}\"", policy)) == std::string_view::npos)
      continue;
    double value = 0;
    std::from_chars(sample.data() + sample.rfind(' ') + 1, sample.data() + sample.size(), value);
    sum += value;
  }
  return sum;
}

// By /proc/net/ip_vs, where backends follow their server: one all of whose backends weigh 0 and have no
// active connection. If nothing wants it, it goes when the agent looks next. That of Agent::Settle, whose
// port changes each time, is none of a case's business.
bool HasLeavingServer(const Namespace& node) {
  const NetnsScope inside(node);
  std::ifstream table("/proc/thread-self/net/ip_vs");
  bool leaving = false, first = true;  // of the server's backends
  bool ignored = true;
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string arrow, at, method;
    int weight = 0, active = 0;
    words >> arrow >> at;
    if (arrow == "->" && words >> method >> weight >> active) {
      leaving = !ignored && (first || leaving) && weight == 0 && active == 0;
      first = false;
      continue;
    }
    if (leaving) return true;
    ignored = at.starts_with(kSettleServer);
    first = true;
  }
  return leaving;
}

}  // namespace

OracleCount& OracleCount::operator+=(const OracleCount& other) {
  at_sockets += other.at_sockets;
  packets_here += other.packets_here;
  from_elsewhere += other.from_elsewhere;
  entries += other.entries;
  health_checks += other.health_checks;
  http += other.http;
  metrics += other.metrics;
  sctp += other.sctp;
  skipped += other.skipped;
  return *this;
}

std::string OracleCount::ToString() const {
  std::vector<std::string> parts{Part(at_sockets, "flow at its socket", "flows at their sockets"),
                                 Part(packets_here, "flow of this node", "flows of this node"),
                                 Part(from_elsewhere, "flow from elsewhere", "flows from elsewhere"),
                                 Part(entries, "conntrack entry", "conntrack entries"),
                                 Part(health_checks, "health check node port", "health check node ports"),
                                 Part(http, "http check", "http checks"),
                                 Part(metrics, "metric", "metrics")};
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
  const size_t before = failures_.size();
  std::vector<Standing> standing;
  for (const auto& entry : step.entries) standing.push_back(Establish(entry));
  for (const auto& [address, port] : EndpointsOf(step.objects))
    lab_.Serve(AddressPort(*Address::Parse(address), port));
  agent_.Apply("cluster.json", ToJsonList(step.objects));
  if (mode_ == Mode::kIpvs) AwaitLeaving();
  for (auto& flow : standing) {
    ++count_.entries;
    if (const Failure failure = JudgeStanding(flow))
      Fail(fmt::format("entry {} {} to {}: {}", flow.entry->protocol, flow.entry->client, flow.entry->to,
                       *failure));
  }
  for (const auto& flow : step.flows) PlayFlow(flow);
  for (const auto& check : step.health_checks) PlayHealthCheck(check);
  for (const auto& http : step.http) PlayHttp(http);
  for (const auto& metric : step.metrics) PlayMetric(metric);
  if (!step.name.empty()) {
    for (size_t i = before; i < failures_.size(); ++i) failures_[i] = step.name + ": " + failures_[i];
  }
}

void OracleRunner::PlayFlow(const OracleFlow& flow) {
  if (!flow.skip.empty()) {
    ++count_.skipped;
    return;
  }
  if (flow.protocol == "SCTP" && !KernelHasSctp()) {
    ++count_.sctp;
    return;
  }
  ++(FromElsewhere(flow)     ? count_.from_elsewhere
     : AtSocket(flow, mode_) ? count_.at_sockets
                             : count_.packets_here);
  const Failure failure =
      flow.expect == OracleFlow::Expect::kBackends ? PlayBackends(flow) : PlayUnreached(flow);
  if (failure) Fail(fmt::format("{} to {} {}: {}", flow.name, flow.protocol, flow.to, *failure));
}

const Namespace& OracleRunner::HomeOf(OracleFlow::From from, const std::string& ip) {
  const bool host = from == OracleFlow::From::kNode || from == OracleFlow::From::kLocalhost;
  return host ? lab_.N1().Net() : lab_.HomeOf(*Address::Parse(ip));
}

ClientOptions OracleRunner::OptionsOf(const OracleFlow& flow, milliseconds timeout) const {
  ClientOptions options;
  options.bind_port = flow.from_port;
  options.timeout = timeout;
  if (AtSocket(flow, mode_)) return options;
  options.bind = *Address::Parse(flow.from_ip);
  options.hears_errors = flow.same_socket;
  options.filtered = !FromElsewhere(flow);
  return options;
}

Client& OracleRunner::KeptSocket(const OracleFlow& flow) {
  auto& socket = sockets_[flow.name];
  if (!socket) {
    const Target to = Target::Parse(flow.to);
    socket = std::make_unique<Client>(HomeOf(flow.from, flow.from_ip), ProtoOf(flow.protocol),
                                      to.address.GetFamily(), OptionsOf(flow, kPatience));
  }
  return *socket;
}

OracleSeen OracleRunner::Try(const OracleFlow& flow) {
  const Namespace& netns = HomeOf(flow.from, flow.from_ip);
  const Target to = Target::Parse(flow.to);
  const Proto proto = ProtoOf(flow.protocol);
  Capture here(netns), on_n1(lab_.N1().Net());
  OracleSeen seen;
  if (flow.same_socket) {
    seen.outcome = KeptSocket(flow).AskAt(to, "?");
  } else {
    const bool refused = flow.expect == OracleFlow::Expect::kReject && flow.protocol != "SCTP";
    const bool answered = refused || flow.expect == OracleFlow::Expect::kBackends;
    const auto timeout = answered ? kPatience : kSilence;
    seen.outcome = Connect(netns, proto, to, OptionsOf(flow, timeout));
  }
  seen.packets = here.Take(proto, to);
  if (!AtSocket(flow, mode_)) seen.forwarded = on_n1.TakeSent(proto, to);
  return seen;
}

void OracleRunner::AwaitLeaving() {
  const auto gone_by = steady_clock::now() + kLeaving;
  while (HasLeavingServer(lab_.N1().Net()) && steady_clock::now() < gone_by)
    std::this_thread::sleep_for(milliseconds(20));
  agent_.Settle();  // a pass takes away last: it may still be at it when Settle's servers stand
}

bool OracleRunner::AwaitClearing(const std::function<bool()>& done) const {
  const auto clear_by = steady_clock::now() + (mode_ == Mode::kEbpf ? kSweeping : kClearing);
  while (!done()) {
    if (steady_clock::now() >= clear_by) return false;
    std::this_thread::sleep_for(milliseconds(20));
  }
  return true;
}

Failure OracleRunner::PlayBackends(const OracleFlow& flow) {
  if (FromElsewhere(flow) && !flow.masquerade) lab_.AnswerThroughN1(*Address::Parse(flow.from_ip));
  std::set<std::string> reached;
  const size_t wanted = flow.sticky || flow.same_socket ? 1 : flow.backends.size();
  const int most = kTriesPerBackend * static_cast<int>(wanted);
  if (flow.same_socket && mode_ != Mode::kEbpf)
    AwaitClearing([&] { return !JudgeReached(lab_, mode_, flow, Try(flow)); });
  for (int i = 0; i < most && (i < kFewestTries || reached.size() < wanted); ++i) {
    const OracleSeen seen = Try(flow);
    if (const Failure failure = JudgeReached(lab_, mode_, flow, seen)) return failure;
    reached.insert(seen.outcome.backend);
    if (!flow.sticky) continue;
    const auto known = stuck_.find(flow.same_backend_as);
    if (known != stuck_.end() && known->second != seen.outcome.backend)
      return fmt::format("expected the backend of {}, {}, {}", flow.same_backend_as, known->second,
                         seen.outcome.ToString());
    stuck_[flow.name] = seen.outcome.backend;
  }
  if (reached.size() == wanted) return std::nullopt;
  return fmt::format("expected {} of [{}], reached [{}]", wanted, fmt::join(flow.backends, " "),
                     fmt::join(reached, " "));
}

// What passes to an address of n1 itself must find somebody there, or it would look like a reject.
Failure OracleRunner::PlayUnreached(const OracleFlow& flow) {
  const Target to = Target::Parse(flow.to);
  const bool of_host = flow.from == OracleFlow::From::kNode || flow.from == OracleFlow::From::kLocalhost;
  const bool serve = !AtSocket(flow, mode_) && !of_host && flow.expect == OracleFlow::Expect::kPassthrough &&
                     lab_.IsOfN1(to.address);
  if (serve) lab_.Serve(flow.to);
  if (flow.same_socket && mode_ != Mode::kEbpf)
    AwaitClearing([&] { return !JudgeUnreached(lab_, mode_, flow, Try(flow)); });
  const Failure failure = JudgeUnreached(lab_, mode_, flow, Try(flow));
  if (serve) lab_.Servers().Stop(to);
  return failure;
}

// Tries clients until one has the entry's backend; each has a flow of its own.
OracleRunner::Standing OracleRunner::Establish(const OracleEntry& entry) {
  const Target to = Target::Parse(entry.to);
  const Namespace& netns = HomeOf(entry.from, entry.client);
  ClientOptions options;
  options.timeout = kSilence;
  if (entry.from == OracleFlow::From::kElsewhere) options.bind = *Address::Parse(entry.client);
  const Proto proto = ProtoOf(entry.protocol);
  for (int i = 0; i < 2 * kTriesPerBackend; ++i) {
    auto client = std::make_unique<Client>(netns, proto, to.address.GetFamily(), options);
    if (client->Connect(to) != 0) continue;
    const Outcome got = IsStream(proto) ? client->Receive() : client->Ask("?");
    if (got.backend == entry.backend) return {&entry, std::move(client)};
  }
  return {&entry, nullptr};
}

Failure OracleRunner::JudgeStanding(Standing& standing) const {
  const OracleEntry& entry = *standing.entry;
  if (!standing.client) return fmt::format("expected a flow to {} before the step, none came", entry.backend);
  Outcome got;
  const auto as_expected = [&] {
    got = standing.client->Ask("still there?");
    // An established stream answers with an echo only from the server it began with.
    const bool stays = got.end == End::kReached && (got.backend.empty() || got.backend == entry.backend);
    return stays == entry.kept;
  };
  if (entry.kept ? as_expected() : AwaitClearing(as_expected)) return std::nullopt;
  return fmt::format("expected it {} {}, {}", entry.kept ? "to stay on" : "to leave", entry.backend,
                     got.ToString());
}

void OracleRunner::PlayHealthCheck(const OracleHealthCheck& check) {
  ++count_.health_checks;
  const HttpAnswer got =
      HttpGet(lab_.Out(), Target::Parse(fmt::format("{}:{}", lab_.N1().Ip(), check.port)), "/");
  const auto wrong = [&](const std::string& what) {
    Fail(fmt::format("health check node port {}: expected {}, got {} {}", check.port, what, got.status,
                     got.body));
  };
  if (check.closed) {
    if (got.status != 0) wrong("nobody");
    return;
  }
  if (got.status != check.status) return wrong(std::to_string(check.status));
  for (const auto& [name, value] : check.headers) {
    const auto found = got.headers.find(name);
    if (found == got.headers.end() || found->second != value) wrong(fmt::format("{}: {}", name, value));
  }
  try {
    const YAML::Node body = YAML::Load(got.body);  // JSON is YAML
    if (body["service"]["namespace"].Scalar() != check.name_space ||
        body["service"]["name"].Scalar() != check.service ||
        body["localEndpoints"].Scalar() != check.local_endpoints ||
        body["serviceProxyHealthy"].Scalar() != check.proxy_healthy)
      wrong(fmt::format("{}/{} with {} endpoints, healthy {}", check.name_space, check.service,
                        check.local_endpoints, check.proxy_healthy));
  } catch (const YAML::Exception& e) {
    wrong(fmt::format("a body of JSON ({})", e.what()));
  }
}

void OracleRunner::PlayHttp(const OracleHttp& http) {
  ++count_.http;
  const HttpAnswer got =
      HttpGet(lab_.N1().Net(), Target::Parse(fmt::format("{}:{}", lab_.N1().Ip(), http.port)), http.path);
  if (got.status != http.status)
    return Fail(fmt::format("{}: expected {}, got {} {}", http.path, http.status, got.status, got.body));
  YAML::Node body;
  try {
    body = YAML::Load(got.body);  // JSON is YAML
  } catch (const YAML::Exception& e) {
    return Fail(fmt::format("{}: the body does not parse: {}: {}", http.path, e.what(), got.body));
  }
  for (const auto& [field, value] : http.json) {
    if (!body.IsMap() || !body[field] || !body[field].IsScalar() || body[field].Scalar() != value)
      Fail(fmt::format("{}: expected {} {}, got {}", http.path, field, value, got.body));
  }
}

void OracleRunner::PlayMetric(const OracleMetric& metric) {
  ++count_.metrics;
  const std::string exposition = agent_.Metrics("/metrics").body;
  const std::string name = "kubeproxy_" + metric.name;
  const auto internal = static_cast<int>(SumOf(exposition, name, "internal"));
  const auto external = static_cast<int>(SumOf(exposition, name, "external"));
  if (internal == metric.internal && external == metric.external) return;
  Fail(fmt::format("{}: expected {} internal and {} external, got {} and {}", name, metric.internal,
                   metric.external, internal, external));
}

}  // namespace fairlead::test
