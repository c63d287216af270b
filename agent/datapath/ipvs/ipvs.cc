// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/ipvs.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "agent/base/log.h"
#include "agent/datapath/ipvs/ipvs_datapath.h"
#include "agent/datapath/ipvs/sysctls.h"

namespace fairlead::ipvs {

namespace {

std::string FirstLine(std::string text) {
  return text.substr(0, text.find('\n'));
}

std::vector<Family> Families() {
  if (::access("/proc/net/if_inet6", F_OK) == 0) return {Family::kIpv4, Family::kIpv6};
  return {Family::kIpv4};
}

std::chrono::seconds Seconds(std::chrono::milliseconds time) {
  return std::chrono::ceil<std::chrono::seconds>(time);
}

// Keeps the first error, and goes on.
void Keep(Result<void>& first, Result<void> done) {
  if (first && !done) first = std::move(done);
}

// Virtual servers with an address of ours, or that our sets name.
Result<std::vector<ServerKey>> ServersOf(Kernel& kernel, const std::set<Address>& addresses,
                                         const Elements& elements) {
  auto servers = kernel.List();
  if (!servers) return std::unexpected(std::move(servers.error()));
  std::vector<ServerKey> ours;
  for (const auto& [key, server] : *servers) {
    if (addresses.contains(key.address) || elements.contains(FrontendElement(key))) ours.push_back(key);
  }
  return ours;
}

Result<void> RemoveServers(const std::set<Address>& addresses, const Elements& elements) {
  auto kernel = NetlinkKernel::Open();
  if (!kernel) return {};  // no IPVS: no virtual servers
  auto servers = ServersOf(**kernel, addresses, elements);
  if (!servers) return std::unexpected(std::move(servers.error()));
  std::vector<Step> steps;
  for (const ServerKey& key : *servers) steps.push_back({Verb::kRemoveServer, key, {}, {}, 0});
  auto codes = (*kernel)->Do(steps);
  if (!codes) return std::unexpected(std::move(codes.error()));
  const auto bad = std::ranges::find_if(*codes, [](int code) { return code != 0 && code != ESRCH; });
  if (bad == codes->end()) return {};
  return FailErrno(*bad, "IPVS: {}", steps[static_cast<size_t>(bad - codes->begin())].ToString());
}

// Every chain of ours, but in the backend that is kept; true if there was one.
Result<bool> RemoveRules(std::optional<iptables::Backend::Kind> kept) {
  bool any = false;
  std::optional<Error> first;
  for (const iptables::Backend& backend : iptables::InstalledBackends(Execute)) {
    if (backend.kind == kept) continue;
    for (Family family : {Family::kIpv4, Family::kIpv6}) {
      if (!iptables::HasTables(backend, family)) continue;
      auto removed = RulesTool(RunToEnd, backend.Program(family, "")).Remove();
      const bool family_missing = !removed && family == Family::kIpv6 && Families().size() == 1;
      any |= removed.value_or(false);
      if (!removed && !family_missing && !first) first = std::move(removed.error());
    }
  }
  if (first) return std::unexpected(std::move(*first));
  return any;
}

// A kernel without ip_set has no sets, and asking ipset would load it.
Result<SavedSets> ReadSets(IpsetTool& ipset) {
  if (::access("/sys/module/ip_set", F_OK) != 0) return SavedSets{};
  auto read = ipset.Save();
  if (!read && read.error().kind == ErrorKind::kNotFound) return SavedSets{};
  return read;
}

// What of ours stands, and the hands to take it away.
struct Standing {
  std::unique_ptr<NetlinkDevice> device;
  std::set<Address> addresses;
  IpsetTool ipset{RunToEnd};
  SavedSets sets;

  bool HasServers() const { return !addresses.empty() || !sets.elements.empty(); }
};

Result<Standing> FindStanding() {
  Standing standing;
  auto device = NetlinkDevice::Open();
  if (!device) return std::unexpected(std::move(device.error()));
  standing.device = std::move(*device);
  auto addresses = standing.device->List();
  if (!addresses) return std::unexpected(std::move(addresses.error()));
  standing.addresses = std::move(addresses->ours);
  auto saved = ReadSets(standing.ipset);
  if (!saved) return std::unexpected(std::move(saved.error()));
  standing.sets = std::move(*saved);
  return standing;
}

}  // namespace

IpvsDatapathOptions IpvsDatapathOptions::From(const Options& options) {
  return {netfilter::NetfilterOptions::From(options), options.ipvs};
}

Result<std::string> Probe() {
  auto kernel = NetlinkKernel::Open();
  if (!kernel) return std::unexpected(std::move(kernel.error()));
  auto version = (*kernel)->Version();
  if (!version) return std::unexpected(std::move(version.error()));
  auto ipset = ExecuteOrFail({.argv = {"ipset", "--version"}, .input = {}});
  if (!ipset) return std::unexpected(std::move(ipset.error()));
  auto restore = ExecuteOrFail({.argv = {"iptables-restore", "--version"}, .input = {}});
  if (!restore) return std::unexpected(std::move(restore.error()));
  // Asks the kernel, and so loads ip_set.
  if (auto listed = ExecuteOrFail({.argv = {"ipset", "list", "-name"}, .input = {}}); !listed)
    return std::unexpected(std::move(listed.error()));
  return fmt::format("IPVS {}, {}, {}", *version, FirstLine(*ipset), FirstLine(*restore));
}

Result<std::unique_ptr<datapath::Datapath>> Open(const IpvsDatapathOptions& options) {
  auto kernel = NetlinkKernel::Open();
  if (!kernel) return std::unexpected(std::move(kernel.error()));
  const std::string scheduler = options.ipvs.scheduler.empty() ? "rr" : options.ipvs.scheduler;
  if (auto tried = (*kernel)->TryScheduler(scheduler); !tried)
    return std::unexpected(std::move(tried.error()).In("ipvs.scheduler"));
  auto backend = iptables::ChooseBackend(Execute);
  if (!backend) return std::unexpected(std::move(backend.error()).In("ipvs mode"));
  auto device = NetlinkDevice::Open();
  if (!device) return std::unexpected(std::move(device.error()));
  auto flows = netfilter::UdpFlows::Open();
  if (!flows) return std::unexpected(std::move(flows.error()));

  NetlinkKernel* raw = kernel->get();
  const Timeouts timeouts{Seconds(options.ipvs.tcp_timeout), Seconds(options.ipvs.tcp_fin_timeout),
                          Seconds(options.ipvs.udp_timeout)};
  auto settings = [raw, timeouts, strict_arp = options.ipvs.strict_arp]() -> Result<void> {
    if (auto set = SetKernelSettings(strict_arp); !set) return set;
    return raw->SetTimeouts(timeouts);
  };
  auto leave_others = [kept = backend->kind]() -> Result<void> {
    auto removed = RemoveRules(kept);
    if (!removed) return std::unexpected(std::move(removed.error()));
    if (*removed) spdlog::info("ipvs: rules of an earlier run are gone from the other iptables backend");
    return {};
  };
  spdlog::info("ipvs: rules by iptables {} ({}): {}", backend->version, backend->Name(), backend->why);
  return IpvsDatapath::Create({std::move(*kernel), std::move(*device), RunToEnd, std::move(*flows),
                               std::move(settings), Families(), std::move(*backend), std::move(leave_others)},
                              options);
}

Result<std::vector<ServerKey>> StandingServers() {
  auto standing = FindStanding();
  if (!standing) return std::unexpected(std::move(standing.error()));
  std::vector<ServerKey> none;
  if (!standing->HasServers()) return none;  // asking would load the module
  auto kernel = NetlinkKernel::Open();
  return kernel ? ServersOf(**kernel, standing->addresses, standing->sets.elements) : none;
}

Result<bool> CleanUp() {
  auto standing = FindStanding();
  if (!standing) return std::unexpected(std::move(standing.error()));
  Result<void> first;
  if (standing->HasServers()) Keep(first, RemoveServers(standing->addresses, standing->sets.elements));
  auto destroyed = standing->device->Destroy();
  if (!destroyed) Keep(first, std::unexpected(destroyed.error()));
  auto rules = RemoveRules(std::nullopt);
  if (!rules) Keep(first, std::unexpected(rules.error()));
  for (const std::string& name : standing->sets.names) Keep(first, standing->ipset.Destroy(name));
  if (!first) return std::unexpected(std::move(first.error()));
  return destroyed.value_or(false) || rules.value_or(false) || !standing->sets.names.empty();
}

}  // namespace fairlead::ipvs
