// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/kube_proxy_chains.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "agent/datapath/iptables/saved.h"

namespace fairlead::modes {

namespace {

// Those that built-in chains jump to come first.
constexpr std::array<std::string_view, 10> kEntrances{
    "KUBE-SERVICES",        "KUBE-EXTERNAL-SERVICES",     "KUBE-NODEPORTS", "KUBE-POSTROUTING",
    "KUBE-FORWARD",         "KUBE-PROXY-FIREWALL",        "KUBE-NODE-PORT", "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER", "KUBE-SOURCE-RANGES-FIREWALL"};
constexpr std::array<std::string_view, 3> kOthers{"KUBE-MARK-MASQ", "KUBE-PROXY-CANARY",
                                                  "KUBE-LOAD-BALANCER"};
// With 16 characters of base32 after it: a hash of the service port, or of that and an endpoint.
constexpr std::array<std::string_view, 6> kKinds{"KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-",
                                                 "KUBE-SEP-", "KUBE-FW-",  "KUBE-XLB-"};
constexpr size_t kHash = 16;

bool IsHash(std::string_view text) {
  return text.size() == kHash &&
         std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7'); });
}

// The kind the chain is of; empty: none, it is one by its whole name.
std::string_view KindOf(std::string_view chain) {
  for (const std::string_view kind : kKinds) {
    if (chain.starts_with(kind) && IsHash(chain.substr(kind.size()))) return kind;
  }
  return {};
}

bool IsEntrance(std::string_view chain) {
  return std::ranges::find(kEntrances, chain) != kEntrances.end();
}

bool IsKubeProxys(std::string_view chain) {
  return IsEntrance(chain) || std::ranges::find(kOthers, chain) != kOthers.end() || !KindOf(chain).empty();
}

struct Rule {
  std::string_view chain, spec, target;
};

struct Table {
  std::string_view name;
  std::vector<std::string_view> chains;  // kube-proxy's
  std::set<std::string_view> built_in;
  std::vector<Rule> rules;
};

void ReadLine(std::string_view line, std::vector<Table>& tables) {
  if (line.starts_with('*'))
    tables.push_back({.name = line.substr(1), .chains = {}, .built_in = {}, .rules = {}});
  if (tables.empty()) return;
  Table& table = tables.back();
  if (line.starts_with(':')) {
    const std::string_view chain = line.substr(1, line.find(' ') - 1);
    const bool built_in = !line.substr(std::min(chain.size() + 2, line.size())).starts_with('-');
    if (built_in) table.built_in.insert(chain);
    if (!built_in && IsKubeProxys(chain)) table.chains.push_back(chain);
  } else if (line.starts_with("-A ")) {
    const std::string_view rest = line.substr(3);
    const size_t space = std::min(rest.find(' '), rest.size());
    const std::string_view spec = rest.substr(std::min(space + 1, rest.size()));
    table.rules.push_back({rest.substr(0, space), spec, iptables::TargetOf(spec)});
  }
}

std::vector<Table> ReadTables(std::string_view saved) {
  std::vector<Table> tables;
  while (!saved.empty()) {
    const size_t end = std::min(saved.find('\n'), saved.size());
    ReadLine(saved.substr(0, end), tables);
    saved.remove_prefix(std::min(end + 1, saved.size()));
  }
  return tables;
}

bool IsJump(const Table& table, const Rule& rule) {
  return table.built_in.contains(rule.chain) && IsEntrance(rule.target);
}

// Chains of kube-proxy's that must stay.
std::set<std::string_view> Kept(const Table& table) {
  std::multimap<std::string_view, std::string_view> leads;  // chain to target, within kube-proxy's
  std::vector<std::string_view> found;
  for (const Rule& rule : table.rules) {
    if (!IsKubeProxys(rule.target)) continue;
    if (IsKubeProxys(rule.chain)) {
      leads.emplace(rule.chain, rule.target);
    } else if (!IsJump(table, rule)) {
      found.push_back(rule.target);
    }
  }
  std::set<std::string_view> kept;
  while (!found.empty()) {
    const std::string_view chain = found.back();
    found.pop_back();
    if (!kept.insert(chain).second) continue;
    if (chain == "KUBE-MARK-MASQ") found.push_back("KUBE-POSTROUTING");
    const auto [begin, end] = leads.equal_range(chain);
    for (auto each = begin; each != end; ++each) found.push_back(each->second);
  }
  return kept;
}

void Read(const Table& table, KubeProxyTables& out) {
  const auto kept = Kept(table);
  const auto goes = [&](std::string_view chain) { return IsKubeProxys(chain) && !kept.contains(chain); };
  std::map<std::string, KubeProxyChains> found;
  const auto row = [&](std::string_view chain) -> KubeProxyChains& {
    const std::string_view kind = KindOf(chain);
    std::string name = kind.empty() ? std::string(chain) : fmt::format("{}*", kind);
    return found.try_emplace(name, KubeProxyChains{std::string(table.name), name, 0, 0}).first->second;
  };
  std::string empty, jumps, remove;
  for (const std::string_view chain : table.chains) {
    if (!goes(chain)) continue;
    ++row(chain).chains;
    empty += fmt::format(":{} - [0:0]\n", chain);
    remove += fmt::format("-X {}\n", chain);
  }
  for (const Rule& rule : table.rules) {
    if (goes(rule.chain)) ++row(rule.chain).rules;
    if (IsJump(table, rule) && goes(rule.target)) jumps += fmt::format("-D {} {}\n", rule.chain, rule.spec);
  }
  for (auto& [name, chains] : found) out.found.push_back(std::move(chains));
  if (!empty.empty() || !jumps.empty())
    out.removal += fmt::format("*{}\n{}{}{}COMMIT\n", table.name, empty, jumps, remove);
}

}  // namespace

KubeProxyTables ReadKubeProxyTables(std::string_view saved) {
  KubeProxyTables out;
  for (const Table& table : ReadTables(saved)) Read(table, out);
  return out;
}

}  // namespace fairlead::modes
