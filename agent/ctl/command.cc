// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "agent/base/log.h"
#include "agent/ctl/agent_metrics.h"
#include "agent/ctl/conntrack_command.h"
#include "agent/ctl/explain_command.h"
#include "agent/ctl/pinned.h"
#include "agent/ctl/render.h"
#include "agent/options.h"

namespace fairlead::ctl {

namespace {

struct Arguments {
  std::string bpffs_dir = Options().bpffs_dir;
  std::string cgroup;
  std::string metrics_address = Options().metrics_bind_address;
  Endpoint metrics;  // of metrics_address
  std::string output = "table";
  Format format = Format::kTable;  // of output
  Filter filter;
  std::string service_path;  // NAMESPACE/NAME
  bool all = false;
  FlowWords flow_words;
  FlowRequest flows;  // of conntrack or affinity
  ExplainWords explain;
  ExplainRequest explain_request;  // of explain
};

const std::map<std::string, Format> kFormats = {
    {"table", Format::kTable}, {"json", Format::kJson}, {"wide", Format::kWide}};

void AddFilter(CLI::App& command, Arguments& arguments) {
  command.add_option("SERVICE", arguments.service_path, "only this one: NAMESPACE/NAME");
  command.add_option("-n,--namespace", arguments.filter.ns, "only Services of this namespace");
  command.add_option("--service", arguments.filter.name, "only Services of this name");
  command.add_option("--address", arguments.filter.address, "only this address, of a frontend or a backend");
  command.add_option("--port", arguments.filter.port, "only this port, of a frontend or a backend")
      ->check(CLI::Range(1, 65535));
}

// What CLI11 cannot judge.
Result<void> Finish(Arguments& arguments) {
  auto format = kFormats.find(arguments.output);
  if (format == kFormats.end()) {
    return Fail(ErrorKind::kInvalid, "--output \"{}\": expected table, json or wide", arguments.output);
  }
  arguments.format = format->second;
  auto metrics = ParseEndpoint(arguments.metrics_address, 0);
  if (!metrics) return std::unexpected(std::move(metrics.error()).In("--metrics-address"));
  arguments.metrics = *metrics;
  if (!arguments.explain.to.empty()) {
    auto request = ParseExplainRequest(arguments.explain);
    if (!request) return std::unexpected(request.error());
    arguments.explain_request = *request;
  }
  auto flows = ParseFlowRequest(arguments.flow_words);
  if (!flows) return std::unexpected(flows.error());
  arguments.flows = std::move(*flows);
  Filter& filter = arguments.filter;
  if (!arguments.service_path.empty()) {
    const std::string& path = arguments.service_path;
    size_t slash = path.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == path.size() ||
        path.find('/', slash + 1) != std::string::npos) {
      return Fail(ErrorKind::kInvalid, "\"{}\": expected NAMESPACE/NAME", path);
    }
    if (!filter.ns.empty() || !filter.name.empty()) {
      return Fail(ErrorKind::kInvalid, "{} and --namespace or --service: expected one of the two", path);
    }
    filter.ns = path.substr(0, slash);
    filter.name = path.substr(slash + 1);
  }
  if (!filter.address.empty()) {
    std::string_view text = filter.address;
    if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
    auto address = Address::Parse(text);
    if (!address) return std::unexpected(std::move(address.error()).In("--address"));
    filter.address = address->ToString();
  }
  return {};
}

// Where nothing is pinned, another mode may serve.
Result<std::string> AnswerUnpinned(const std::string& command, const Arguments& arguments, Error error) {
  if (error.kind != ErrorKind::kNotFound) return std::unexpected(std::move(error));
  const auto standing = modes::FindStanding(arguments.bpffs_dir);
  if (standing.empty()) return std::unexpected(std::move(error));
  if (command == "status")
    return RenderStandingStatus(standing, arguments.format, ReadWaiting(arguments.metrics));
  if (command == "conntrack") return Fail(ErrorKind::kUnsupported, "{}", FlowsElsewhereText(standing));
  return Fail(ErrorKind::kUnsupported, "{} reads the tables of ebpf mode; {}", command,
              StandingText(standing));
}

Result<std::string> Answer(const std::string& command, const Arguments& arguments) {
  auto pinned = Pinned::Open(arguments.bpffs_dir);
  if (!pinned) return AnswerUnpinned(command, arguments, pinned.error());
  if (command == "counters") {
    auto counters = pinned->ReadCounters();
    if (!counters) return std::unexpected(counters.error());
    return RenderCounters(*counters, arguments.all, arguments.format);
  }
  if (command == "conntrack")
    return Conntrack(*pinned, arguments.bpffs_dir, arguments.flows, arguments.format);
  if (command == "affinity") return Affinity(*pinned, arguments.bpffs_dir, arguments.flows, arguments.format);
  if (command == "explain")
    return Explain(*pinned, arguments.bpffs_dir, arguments.explain_request, arguments.format);
  auto snapshot = pinned->ReadSnapshot();
  if (!snapshot) return std::unexpected(snapshot.error());
  if (command == "services") return RenderServices(*snapshot, arguments.filter, arguments.format);
  if (command == "backends") return RenderBackends(*snapshot, arguments.filter, arguments.format);
  auto status = pinned->ReadStatus();
  if (!status) return std::unexpected(status.error());
  return RenderStatus(*status, *snapshot, modes::FindStanding(arguments.bpffs_dir), arguments.format,
                      ReadWaiting(arguments.metrics));
}

int Check(const Arguments& arguments) {
  const modes::Survey survey = modes::Look({arguments.cgroup, arguments.bpffs_dir});
  std::fputs(RenderCheck(survey, arguments.format).c_str(), stdout);
  return survey.taken ? 0 : 1;
}

}  // namespace

int Main(int argc, const char* const* argv) {
  SetUpLog(0);
  Arguments arguments;
  CLI::App app("Looks inside fairlead on this node, from the pinned tables: the agent need not run.",
               "fairleadctl");
  app.set_version_flag("--version", std::string("fairleadctl " FAIRLEAD_VERSION));
  app.require_subcommand(0, 1);
  app.fallthrough();  // the common flags may follow the command
  app.add_option("--bpffs-dir", arguments.bpffs_dir, "where the agent pins")->capture_default_str();
  app.add_option("-o,--output", arguments.output, "")->option_text("table|json|wide");
  app.add_subcommand("status", "the agent, its hooks, and how full the tables are")
      ->add_option("--metrics-address", arguments.metrics_address,
                   "where the agent serves /metrics, to ask it what waits")
      ->capture_default_str();
  AddFilter(*app.add_subcommand("services", "one line a frontend: address, backends, connections"),
            arguments);
  AddFilter(*app.add_subcommand("backends", "one line a backend of each service port"), arguments);
  app.add_subcommand("counters", "how connects and datagrams ended")
      ->add_flag("--all", arguments.all, "rows of zero too");
  AddConntrackOptions(*app.add_subcommand("conntrack", "flows of the packet path, one line each"),
                      arguments.flow_words);
  AddAffinityOptions(*app.add_subcommand("affinity", "clients that have a backend by session affinity"),
                     arguments.flow_words);
  AddExplainOptions(*app.add_subcommand("explain", "what would happen to a connection or packet, and why"),
                    arguments.explain);
  app.add_subcommand("check", "what this kernel supports, and which mode auto takes")
      ->add_option("--cgroup", arguments.cgroup,
                   "where the agent would attach (default: root of the cgroup2 mount)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::Error& wrong) {
    std::fputs(fmt::format("fairleadctl: {} (--help shows the commands)\n", wrong.what()).c_str(), stderr);
    return 2;
  }
  Result<void> finished =
      app.get_subcommands().empty()
          ? Result<void>(Fail(ErrorKind::kInvalid,
                              "expected a command: status, services, backends, conntrack, affinity, "
                              "counters, explain or check"))
          : Finish(arguments);
  if (!finished) {
    std::fputs(fmt::format("fairleadctl: {}\n", finished.error().message).c_str(), stderr);
    return 2;
  }
  const std::string command = app.get_subcommands().front()->get_name();
  if (command == "check") return Check(arguments);
  auto answer = Answer(command, arguments);
  if (!answer) {
    std::fputs(fmt::format("fairleadctl: {}\n", answer.error().message).c_str(), stderr);
    return 1;
  }
  std::fputs(answer->c_str(), stdout);
  return 0;
}

}  // namespace fairlead::ctl
