// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/kube_proxy.h"

#include <linux/netfilter.h>

#include <array>
#include <utility>

#include "agent/base/exec.h"
#include "agent/base/log.h"
#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/modes/kube_proxy_chains.h"
#include "agent/datapath/modes/kube_proxy_ipvs.h"
#include "agent/datapath/netfilter/nft_table.h"

namespace fairlead::modes {

namespace {

constexpr std::chrono::minutes kDeadline{2};  // with 100,000 rules iptables-save takes seconds

const std::array<netfilter::NftTable, 2>& NftTables() {
  static const std::array<netfilter::NftTable, 2> tables{
      {{NFPROTO_IPV4, "kube-proxy"}, {NFPROTO_IPV6, "kube-proxy"}}};
  return tables;
}

// The first failure of several things that are all tried.
class FirstFailure {
 public:
  void Note(const Result<void>& result) {
    if (!result && outcome_) outcome_ = result;
  }
  void Note(Error error) { Note(Result<void>(std::unexpected(std::move(error)))); }
  Result<void> Outcome() const { return outcome_; }

 private:
  Result<void> outcome_;
};

// What one backend has of one family.
struct Tables {
  iptables::Backend backend;
  Family family = Family::kIpv4;
  KubeProxyTables tables;
};

// Reads all tables of all backends that are installed; those that have none are left out.
std::vector<Tables> ReadIptables(FirstFailure& failure) {
  auto nf_tables = netfilter::HasNfTables();
  if (!nf_tables) failure.Note(nf_tables.error());
  std::vector<Tables> all;
  for (const iptables::Backend& backend : iptables::InstalledBackends(&Execute)) {
    // The kernel has none for this one: its programs fail.
    if (backend.kind == iptables::Backend::Kind::kNfTables && !nf_tables.value_or(true)) continue;
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      if (!iptables::HasTables(backend, family)) continue;
      auto saved =
          ExecuteOrFail({.argv = {backend.Program(family, "save")}, .input = {}, .deadline = kDeadline});
      if (!saved) {
        failure.Note(saved.error());
        continue;
      }
      Tables tables{backend, family, ReadKubeProxyTables(*saved)};
      if (!tables.tables.removal.empty()) all.push_back(std::move(tables));
    }
  }
  return all;
}

std::string Line(const Tables& tables, const KubeProxyChains& chains) {
  const std::string what = chains.name.ends_with('*') ? fmt::format("{} chains", chains.chains) : "chain";
  return fmt::format("{} {} ({}): {} {}, {} rules", tables.family == Family::kIpv4 ? "iptables" : "ip6tables",
                     chains.table, tables.backend.Name(), what, chains.name, chains.rules);
}

}  // namespace

Result<std::vector<std::string>> FindKubeProxy() {
  FirstFailure failure;
  std::vector<std::string> lines;
  for (const Tables& tables : ReadIptables(failure)) {
    for (const KubeProxyChains& chains : tables.tables.found) lines.push_back(Line(tables, chains));
  }
  auto nft = netfilter::ListNftTables();
  if (!nft) return std::unexpected(nft.error());
  for (const netfilter::NftTable& table : NftTables()) {
    if (nft->contains(table)) lines.push_back(fmt::format("nft table {}", table.ToString()));
  }
  auto ipvs = FindKubeProxyIpvs();
  if (!ipvs) return std::unexpected(ipvs.error());
  if (ipvs->device) lines.push_back("device kube-ipvs0");
  for (const auto& server : ipvs->servers)
    lines.push_back(fmt::format("virtual server {}", server.ToString()));
  for (const std::string& set : ipvs->sets) lines.push_back(fmt::format("ipset {}", set));
  if (auto outcome = failure.Outcome(); !outcome) return std::unexpected(outcome.error());
  return lines;
}

Result<void> RemoveKubeProxy() {
  FirstFailure failure;
  bool anything = false;
  for (const Tables& tables : ReadIptables(failure)) {
    anything = true;
    auto removed = iptables::Restore(&Execute, tables.backend, tables.family, tables.tables.removal);
    if (!removed) failure.Note(std::move(removed.error().error).In("remove chains of kube-proxy"));
  }
  for (const netfilter::NftTable& table : NftTables()) {
    auto removed = netfilter::RemoveNftTable(table);
    if (!removed) failure.Note(removed.error());
    anything |= removed.value_or(false);
  }
  auto ipvs = FindKubeProxyIpvs();
  if (!ipvs) failure.Note(ipvs.error());
  if (ipvs) {
    failure.Note(RemoveKubeProxyIpvs(*ipvs));
    anything |= ipvs->device || !ipvs->servers.empty() || !ipvs->sets.empty();
  }
  auto outcome = failure.Outcome();
  if (outcome && anything)
    spdlog::info("kube-proxy: sysctls that it had set (route_localnet, conntrack's) stay as they are");
  return outcome;
}

}  // namespace fairlead::modes
