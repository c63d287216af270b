// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/modes.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "agent/base/log.h"
#include "agent/datapath/ebpf/ebpf.h"
#include "agent/datapath/ebpf/hand_over.h"
#include "agent/datapath/ebpf/probe.h"
#include "agent/datapath/iptables/iptables.h"
#include "agent/datapath/ipvs/ipvs.h"
#include "agent/datapath/modes/adopt_flows.h"
#include "agent/datapath/modes/adopt_ipvs.h"
#include "agent/datapath/modes/beside.h"
#include "agent/datapath/modes/choose.h"
#include "agent/datapath/modes/established.h"
#include "agent/datapath/modes/kube_proxy.h"
#include "agent/datapath/modes/kube_proxy_ipvs.h"
#include "agent/datapath/modes/only_one.h"
#include "agent/datapath/modes/standing.h"
#include "agent/datapath/modes/takeover.h"
#include "agent/datapath/netfilter/established.h"
#include "agent/datapath/nftables/nftables.h"

namespace fairlead::modes {

namespace {

using netfilter::NetfilterOptions;
using netfilter::Serves;
using Opened = Result<std::unique_ptr<datapath::Datapath>>;

// --- opening

Opened OpenNftables(const NetfilterOptions& options) {
  if (auto able = nftables::Probe(); !able) return std::unexpected(able.error());
  return nftables::Open(options);
}

Opened OpenIptables(const NetfilterOptions& options) {
  if (auto able = iptables::Probe(); !able) return std::unexpected(able.error());
  return iptables::Open(options);
}

Opened OpenIpvs(const Options& options) {
  if (auto able = ipvs::Probe(); !able) return std::unexpected(able.error());
  return ipvs::Open(ipvs::IpvsDatapathOptions::From(options));
}

// Beside ebpf.
Opened OpenForSctp(const Options& options) {
  NetfilterOptions netfilter = NetfilterOptions::From(options);
  netfilter.serves = Serves::kOnlySctp;
  auto nftables = OpenNftables(netfilter);
  if (nftables) return nftables;
  auto iptables = OpenIptables(netfilter);
  if (iptables) return iptables;
  return Fail(ErrorKind::kUnsupported, "SCTP cannot be served on this node: nftables: {}; iptables: {}",
              nftables.error().message, iptables.error().message);
}

Result<void> WithoutAnswer(Result<bool> cleaned) {
  if (!cleaned) return std::unexpected(std::move(cleaned).error());
  return {};
}

// The probes cost some 100 ms, so they are asked only when something is wrong.
Error WhyNotEbpf(const Options& options, Error error) {
  std::string reason;
  if (ebpf::CanRunEbpf(ebpf::ProbeKernel({options.cgroup, options.bpffs_dir}), &reason)) return error;
  const bool said = reason.find(error.message) != std::string::npos;
  error.message = said ? reason : fmt::format("{}; {}", error.message, reason);
  return error;
}

// The node's own, and those of connections that nf_conntrack masquerades: a flow of ours to the same backend
// that took one would end that connection.
Result<ebpf::HostPorts> ReadPortsInUse() {
  auto ports = ebpf::ReadHostPorts();
  if (!ports) return ports;
  auto masqueraded = netfilter::MasqueradePorts();
  if (!masqueraded) return std::unexpected(masqueraded.error());
  for (const uint16_t port : *masqueraded) ports->bound.Add(port);
  return ports;
}

// Without ctnetlink nobody can say; what stands on such a node is seen by its rules.
Result<bool> HasTranslatedFlows() {
  auto any = netfilter::HasTranslatedFlows();
  if (!any && (any.error().code == EPROTONOSUPPORT || any.error().code == EINVAL)) return false;
  return any;
}

// kube-proxy or another mode, until Prune.
bool AnotherServes(const Options& options) {
  const auto standing = FindStanding(options.bpffs_dir);
  const auto other = [](const Standing& of) { return of.mode != Mode::kEbpf; };
  if (std::ranges::any_of(standing, other)) return true;
  const auto kube_proxy = FindKubeProxy();
  return !kube_proxy || !kube_proxy->empty();
}

// Keeps them alive, and ends leaving packets to them when there are none of them any more.
Result<void> KeepEarlier(ebpf::EbpfDatapath& ebpf) {
  auto kept = KeepEstablished();
  if (!ebpf.leaves_established()) return kept;
  auto any = HasTranslatedFlows();
  if (!any) return std::unexpected(any.error());
  if (!*any) ebpf.EndLeaving();
  return kept;
}

// `first`: the datapath in it.
Result<std::unique_ptr<Beside>> OpenEbpf(const Options& options, ebpf::EbpfDatapath*& first) {
  ebpf::EbpfOptions ebpf = ebpf::EbpfOptions::From(options);
  // Connections that nf_conntrack has go on to be its business. Where another serves, he goes on to begin
  // some, so that it does not matter that there are none now.
  ebpf.earlier_serves = AnotherServes(options);
  ebpf.kernel.leave_established = ebpf.earlier_serves || HasTranslatedFlows().value_or(true);
  if (ebpf.kernel.leave_established) ebpf.read_host = &ReadPortsInUse;
  auto datapath = ebpf::EbpfDatapath::Open(ebpf);
  if (!datapath) return std::unexpected(WhyNotEbpf(options, datapath.error()));
  first = datapath->get();
  spdlog::info("ebpf: socket programs attach to {}", (*datapath)->kernel().cgroup_path());
  Beside::Second second;
  second.open = [options] { return OpenForSctp(options); };
  second.clean_up = [](std::string_view name) {
    return WithoutAnswer(name == ModeName(Mode::kNftables) ? nftables::CleanUp() : iptables::CleanUp());
  };
  return Beside::Create(std::move(*datapath), std::move(second));
}

// --- what the others left

// With the table that keeps established connections: the other modes' rules do that by themselves.
Result<bool> CleanUpEbpf(const std::string& bpffs_dir) {
  const bool there = ::access(bpffs_dir.c_str(), F_OK) == 0;
  if (auto cleaned = ebpf::Kernel::CleanUp(bpffs_dir); !cleaned) return std::unexpected(cleaned.error());
  auto forgotten = ForgetEstablished();
  if (!forgotten) return forgotten;
  return there || *forgotten;
}

void SayAdopted(size_t adopted, std::string_view whose) {
  if (adopted > 0) spdlog::info("{} connections of {} go on by nf_conntrack", adopted, whose);
}

// The same where another mode serves by now: connections of the packet path go on with it.
Result<bool> HandOverEbpf(const std::string& bpffs_dir, const ConntrackOptions& conntrack) {
  if (auto gone = RemoveGuard(); !gone) return gone;
  auto flows = ebpf::StopBeginning(bpffs_dir, conntrack);
  if (!flows) return std::unexpected(flows.error());
  Result<bool> cleaned = false;
  auto adopted = AdoptFlows(*flows, [&] {
    cleaned = CleanUpEbpf(bpffs_dir);
    return WithoutAnswer(cleaned);
  });
  if (!adopted) return std::unexpected(adopted.error());
  SayAdopted(*adopted, "the packet path");
  return cleaned;
}

// Ends our virtual servers; their connections go on with who serves by now.
Result<bool> HandOverIpvs() {
  auto servers = ipvs::StandingServers();
  if (!servers) return std::unexpected(servers.error());
  Result<bool> cleaned = false;
  auto adopted = AdoptIpvs(*servers, [&] { cleaned = ipvs::CleanUp(); });
  if (!adopted) return std::unexpected(adopted.error());
  SayAdopted(*adopted, "IPVS");
  return cleaned;
}

// The same of kube-proxy's virtual servers.
Result<void> TakeFromKubeProxy() {
  auto found = FindKubeProxyIpvs();
  if (!found) return std::unexpected(found.error());
  Result<void> removed;
  auto adopted = AdoptIpvs(found->servers, [&] { removed = RemoveKubeProxy(); });
  if (!adopted) return std::unexpected(adopted.error());
  SayAdopted(*adopted, "kube-proxy's IPVS");
  return removed;
}

// Where kube-proxy's rules stand it serves from now on, and connections go on with it. They end if that
// cannot be: what is asked for is that nothing stays.
Result<bool> CleanUpForGood(const std::function<Result<bool>()>& hand_over,
                            const std::function<Result<bool>()>& clean_up) {
  const auto kube_proxy = FindKubeProxy();
  if (kube_proxy && kube_proxy->empty()) return clean_up();
  auto handed = hand_over();
  if (handed) return handed;
  spdlog::warn("cleanup: connections end: {}", handed.error().message);
  return clean_up();
}

using CleanUpOf = std::pair<Mode, std::function<Result<bool>()>>;
std::vector<CleanUpOf> HandOvers(const Options& options) {
  return {{Mode::kEbpf,
           [dir = options.bpffs_dir, times = options.conntrack] { return HandOverEbpf(dir, times); }},
          {Mode::kNftables, &nftables::CleanUp},
          {Mode::kIpvs, &HandOverIpvs},
          {Mode::kIptables, &iptables::CleanUp}};
}

// `second`: the name of what serves beside `mode` at this moment.
Leftovers LeftoversFor(Mode mode, const Options& options, std::function<std::string_view()> second) {
  Leftovers leftovers;
  leftovers.others = [mode, options, second] {
    std::vector<Leftovers::Other> others;
    for (auto& [other, hand_over] : HandOvers(options)) {
      const bool in_use = other == mode || ModeName(other) == second();
      if (!in_use) others.push_back({std::string(ModeName(other)), std::move(hand_over)});
    }
    return others;
  };
  leftovers.find_kube_proxy = &FindKubeProxy;
  leftovers.remove_kube_proxy = &TakeFromKubeProxy;
  return leftovers;
}

Opened OpenWithTakeover(Mode mode, const Options& options) {
  const NetfilterOptions netfilter = NetfilterOptions::From(options);
  if (mode == Mode::kEbpf) {
    ebpf::EbpfDatapath* first = nullptr;
    auto ebpf = OpenEbpf(options, first);
    if (!ebpf) return std::unexpected(ebpf.error());
    auto second = [beside = ebpf->get()] { return beside->SecondName(); };
    Leftovers leftovers = LeftoversFor(mode, options, second);
    leftovers.keep_established = [first] { return KeepEarlier(*first); };
    return std::make_unique<Takeover>(std::move(*ebpf), std::move(leftovers), options.remove_kube_proxy);
  }
  auto opened = mode == Mode::kNftables ? OpenNftables(netfilter)
                : mode == Mode::kIpvs   ? OpenIpvs(options)
                                        : OpenIptables(netfilter);
  if (!opened) return opened;
  auto nothing = [] { return std::string_view(); };
  return std::make_unique<Takeover>(std::move(*opened), LeftoversFor(mode, options, nothing),
                                    options.remove_kube_proxy);
}

Result<Choice> Choose(const Options& options) {
  if (auto asked = ParseMode(options.proxy_mode)) {
    auto datapath = OpenWithTakeover(*asked, options);
    if (!datapath) return std::unexpected(Error(datapath.error()).In("mode " + options.proxy_mode));
    return Choice{*asked, "asked for", std::move(*datapath)};
  }
  std::vector<Candidate> candidates;
  for (Mode mode : kModes)
    candidates.push_back({mode, [mode, &options] { return OpenWithTakeover(mode, options); }});
  return TakeFirst(candidates);
}

// For good: nobody but kube-proxy can stand then.
std::vector<CleanUpOf> CleanUps(const Options& options) {
  const auto hand_over = [options] { return HandOverEbpf(options.bpffs_dir, options.conntrack); };
  const auto end = [options] { return CleanUpEbpf(options.bpffs_dir); };
  return {{Mode::kEbpf, [=] { return CleanUpForGood(hand_over, end); }},
          {Mode::kNftables, &nftables::CleanUp},
          {Mode::kIpvs, [] { return CleanUpForGood(&HandOverIpvs, &ipvs::CleanUp); }},
          {Mode::kIptables, &iptables::CleanUp}};
}

}  // namespace

Result<Choice> Open(const Options& options) {
  auto claim = ClaimNetns();
  if (!claim) return std::unexpected(claim.error());
  if (auto gone = RemoveGuard(); !gone) {
    spdlog::debug("{}", gone.error().message);  // without nf_tables there is none
  } else if (*gone) {
    spdlog::warn("a change of modes was cut off: what it had left dropped segments, and is removed");
  }
  auto choice = Choose(options);
  if (choice) choice->claim = std::move(*claim);
  return choice;
}

Result<void> CleanUp(const Options& options) {
  auto claim = ClaimNetns();  // not under a running agent, which would put everything back
  if (!claim) return std::unexpected(Error(claim.error()).In("cleanup"));
  Result<void> outcome = WithoutAnswer(RemoveGuard());
  for (const auto& [mode, clean_up] : CleanUps(options)) {
    auto cleaned = clean_up();
    if (cleaned && *cleaned) spdlog::info("cleanup: {} mode's part is removed", ModeName(mode));
    if (cleaned) continue;
    spdlog::error("cleanup: {} mode: {}", ModeName(mode), cleaned.error().message);
    if (outcome) outcome = std::unexpected(Error(cleaned.error()).In("cleanup"));
  }
  return outcome;
}

}  // namespace fairlead::modes
