// SPDX-License-Identifier: Apache-2.0
// fairlead, the node agent: read options, build the parts, run, shut down in reverse order. SIGTERM and
// SIGINT end the agent and leave the datapath standing; --cleanup removes it.
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>

#include "agent/base/log.h"
#include "agent/base/sysctl.h"
#include "agent/config/text.h"
#include "agent/datapath/modes/facts.h"
#include "agent/datapath/modes/modes.h"
#include "agent/kube/source.h"
#include "agent/options.h"
#include "agent/run/conntrack_settings.h"
#include "agent/run/dry_run.h"
#include "agent/run/health.h"
#include "agent/run/health_checks.h"
#include "agent/run/inbox.h"
#include "agent/run/kept_listener.h"
#include "agent/run/metrics.h"
#include "agent/run/node_addresses.h"
#include "agent/run/pages.h"
#include "agent/run/process.h"
#include "agent/run/syncer.h"

namespace fairlead {
namespace {

constexpr std::chrono::seconds kDryRunDeadline{60};

std::string HostName() {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

Result<plan::NodeFacts> FactsFrom(const Options& options) {
  plan::NodeFacts facts;
  facts.name = options.hostname_override.empty() ? HostName() : options.hostname_override;
  for (const std::string& text : options.nodeport_addresses) {
    if (text == "primary") {
      facts.nodeport_primary = true;
      continue;
    }
    auto cidr = Cidr::Parse(text);
    if (!cidr) return std::unexpected(std::move(cidr.error()).In("--nodeport-addresses"));
    facts.nodeport_cidrs.push_back(*cidr);
  }
  const bool by_device =
      options.detect_local_mode == "BridgeInterface" || options.detect_local_mode == "InterfaceNamePrefix";
  facts.pods_by_node_cidr = options.detect_local_mode == "NodeCIDR";
  if (!by_device && !facts.pods_by_node_cidr) {
    for (const std::string& text : config::SplitList(options.cluster_cidr)) {
      auto cidr = Cidr::Parse(text);
      if (!cidr) return std::unexpected(std::move(cidr.error()).In("--cluster-cidr"));
      facts.cluster_cidrs.push_back(*cidr);
    }
  }
  facts.detects_pods = by_device || facts.pods_by_node_cidr || !facts.cluster_cidrs.empty();
  facts.masquerade_all = options.masquerade_all;
  facts.localhost_nodeports = options.localhost_nodeports;
  facts.same_node_hints = options.same_node_hints;
  facts.refuse_external_ips = options.refuse_external_ips;
  if (options.default_algorithm == "maglev") facts.default_algorithm = plan::Algorithm::kMaglev;
  return facts;
}

Result<std::unique_ptr<kube::Source>> OpenSource(const Options& options, const std::string& node) {
  if (!options.manifests.empty()) return kube::OpenManifests(options.manifests);
  kube::ApiOptions api;
  api.kubeconfig = options.kubeconfig;
  api.context = options.context;
  api.master = options.master;
  api.node_name = node;
  return kube::OpenApiServer(api);
}

// What --dry-run plans for: without a datapath, auto stands for ebpf.
modes::Mode PlannedMode(const Options& options) {
  return modes::ParseMode(options.proxy_mode).value_or(modes::Mode::kEbpf);
}

// The machine's, not those of this process's cpuset: packets come in on all of them.
uint32_t Cores() {
  return static_cast<uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)));
}

// Signals that end the agent, as a descriptor. Call before any thread starts, so that all inherit the mask.
Fd CatchSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return Fd(::signalfd(-1, &signals, SFD_CLOEXEC));
}

// The loop with what watches it, until the agent is told to end.
Result<void> Serve(const Options& options, plan::NodeFacts facts, kube::Source& source, run::Inbox& inbox,
                   int stop_fd) {
  auto choice = modes::Open(options);
  if (!choice) return std::unexpected(choice.error());
  const std::string mode(modes::ModeName(choice->mode));
  spdlog::info("mode {}: {}", mode, choice->reason);
  for (const std::string& line : modes::WithoutEffect(choice->mode, options)) spdlog::warn("{}", line);

  run::Metrics metrics;
  metrics.SetMode(mode, choice->reason);
  run::Health health(options.sync_period);
  auto health_checks = run::HealthChecks::Create(health);
  if (!health_checks) return std::unexpected(health_checks.error());
  auto addresses = run::NodeAddresses::Open();
  if (!addresses) return std::unexpected(addresses.error());
  run::Syncer syncer(options, modes::FactsIn(choice->mode, std::move(facts)), inbox, *addresses,
                     *choice->datapath, health, *health_checks, metrics);

  // Of ebpf mode's own flow table the same fields are sizes and times.
  run::KeptConntrack conntrack(choice->mode == modes::Mode::kEbpf ? std::vector<run::ConntrackSetting>()
                                                                  : run::ConntrackSettings(options, Cores()));
  conntrack.Try();

  spdlog::info("source: {}", source.Describe());
  source.Start(inbox);
  metrics.AddReader([&](run::Readings& into) {
    for (const kube::WatchState& watch : source.Watches()) {
      into.watches.push_back(
          {std::string(kube::KindName(watch.kind)), watch.connected, watch.relists, watch.last_event_s});
    }
  });
  run::KeptListener health_pages("--healthz-bind-address", options.healthz_bind_address,
                                 [&] { return run::HealthPages(health, metrics); });
  run::KeptListener metrics_pages("--metrics-bind-address", options.metrics_bind_address, [&] {
    return run::MetricsPages(
        metrics, [&] { return run::ModeChoice{mode, choice->reason}; }, WriteConfigJson(options));
  });
  for (run::KeptListener* pages : {&health_pages, &metrics_pages}) {
    if (auto listening = pages->Try(); !listening) {
      if (options.bind_address_hard_fail) return listening;
      spdlog::error("{}; trying again", listening.error().message);
    }
  }

  syncer.Run(stop_fd, [&] {
    (void)health_pages.Try();  // said once when it failed first
    (void)metrics_pages.Try();
    conntrack.Try();
  });
  spdlog::info("stopping; the datapath stays (fairlead --cleanup removes it)");
  return {};
}

Result<void> RunAgent(const Options& options) {
  Fd stop = options.dry_run ? Fd() : CatchSignals();
  run::RaiseFileLimit();
  if (auto set = run::SetOomScore(options.oom_score_adj); !set) spdlog::warn("{}", set.error().message);
  auto facts = FactsFrom(options);
  if (!facts) return std::unexpected(facts.error());
  spdlog::info("fairlead {} on node {}", FAIRLEAD_VERSION, facts->name);
  run::Inbox inbox;  // before the source that fills it, so that it goes after it
  auto source = OpenSource(options, facts->name);
  if (!source) return std::unexpected(source.error());
  if (options.dry_run) {
    auto plan = run::PlanOnce(std::move(*source), modes::FactsIn(PlannedMode(options), std::move(*facts)),
                              kDryRunDeadline);
    if (!plan) return std::unexpected(plan.error());
    std::fputs(plan->c_str(), stdout);
    return {};
  }

  return Serve(options, std::move(*facts), **source, inbox, stop.Get());
}

int Main(int argc, char** argv) {
  Options options;
  auto read = ReadOptions(argc, argv, options);
  if (!read) {
    std::fprintf(stderr, "fairlead: %s\n", read.error().message.c_str());
    return 2;
  }
  if (*read) {
    std::fputs((*read)->text.c_str(), (*read)->status == 0 ? stdout : stderr);
    return (*read)->status;
  }
  SetUpLog(options.verbosity);
  UseSysctlsIn(options.sysctl_dir);
  for (const std::string& warning : options.warnings) spdlog::warn("{}", warning);
  if (!options.write_config_to.empty()) {
    std::ofstream file(options.write_config_to);
    if (!(file << WriteConfig(options)).flush()) {
      spdlog::critical("--write-config-to {}: {}", options.write_config_to, std::strerror(errno));
      return 1;
    }
    return 0;
  }
  Result<void> outcome = options.cleanup ? modes::CleanUp(options) : RunAgent(options);
  if (!outcome) {
    spdlog::critical("{}", outcome.error().message);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace fairlead

int main(int argc, char** argv) {
  return fairlead::Main(argc, argv);
}
