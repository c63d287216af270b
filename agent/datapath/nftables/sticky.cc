// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/sticky.h"

#include <fmt/format.h>

#include "agent/datapath/nftables/element.h"
#include "agent/datapath/nftables/script.h"

namespace fairlead::nftables {

namespace {

// Clients of one service port at a time: what a flood of source addresses may cost, some 40 MB.
constexpr uint32_t kClientsMax = 262144;
// The kernel's limit for the name of a chain or set (NFT_NAME_MAXLEN) without its NUL. A Service of a
// manifest may have a name as long as that alone: what is longer ends in a hash.
constexpr size_t kNameMax = 255;

std::string NameOf(const plan::ServicePortKey& key, std::string_view what, bool of_local) {
  std::string name = fmt::format("{}{}{}/{}/{}/{}/{}", what, of_local ? "-here" : "",
                                 key.family == Family::kIpv4 ? '4' : '6', key.service.ns, key.service.name,
                                 key.port, ProtocolWord(key.protocol));
  if (name.size() <= kNameMax) return name;
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return fmt::format("{}-{:016x}", name.substr(0, kNameMax - 17), hash);
}

}  // namespace

std::string Sticky::Map(bool of_local) const {
  return NameOf(key, "affinity", of_local);
}
std::string Sticky::Chain(bool of_local) const {
  return NameOf(key, "sticky", of_local);
}
std::string Sticky::Remember(bool of_local) const {
  return NameOf(key, "remember", of_local);
}
std::string Sticky::RememberSplit() const {
  return NameOf(key, "remember-split", false);
}

std::vector<std::string> Sticky::Maps() const {
  std::vector<std::string> maps;
  if (cluster) maps.push_back(Map(false));
  if (local) maps.push_back(Map(true));
  return maps;
}

std::vector<std::string> Sticky::Chains() const {
  std::vector<std::string> chains;
  if (split) chains.push_back(RememberSplit());
  for (bool of_local : {false, true}) {
    if (of_local ? !local : !cluster) continue;
    chains.push_back(Chain(of_local));
    chains.push_back(Remember(of_local));
  }
  return chains;
}

std::string Sticky::Script(const Wording& wording) const {
  const std::string_view ip = key.family == Family::kIpv4 ? "ip" : "ip6";
  std::string script;
  for (bool of_local : {false, true}) {
    if (of_local ? !local : !cluster) continue;
    const std::string map = Map(of_local);
    script += fmt::format(
        "add map inet {} {} {{ typeof {} saddr : {} daddr . th dport; flags dynamic,timeout; size {}; }}\n",
        kTable, map, ip, ip, kClientsMax);
    script += AddChain(Chain(of_local)) + AddChain(Remember(of_local));
  }
  if (!split) return script;
  std::vector<std::string> rules;
  const std::string inside = cluster ? "goto " + Remember(false) : "return";
  if (const std::string pods = wording.FromPod(key.family); !pods.empty())
    rules.push_back(pods + " " + inside);
  rules.push_back("fib saddr type local " + inside);
  if (local) rules.push_back("goto " + Remember(true));
  return script + RewriteChain(RememberSplit(), rules);
}

std::vector<MapRule> Sticky::MapRules() const {
  std::vector<MapRule> rules;
  for (bool of_local : {false, true}) {
    if (of_local ? !local : !cluster) continue;
    MapRule rule;
    rule.map = Map(of_local);
    rule.family = key.family;
    rule.protocol = key.protocol;
    rule.timeout_s = timeout_s;
    rule.kind = MapRule::Kind::kRecall;
    rule.chain = Chain(of_local);
    rules.push_back(rule);
    rule.kind = MapRule::Kind::kRemember;
    rule.chain = Remember(of_local);
    rules.push_back(rule);
  }
  return rules;
}

std::string Sticky::RemovalScript() const {
  std::string script;
  for (const std::string& chain : Chains()) script += fmt::format("delete chain inet {} {}\n", kTable, chain);
  for (const std::string& map : Maps()) script += fmt::format("delete map inet {} {}\n", kTable, map);
  return script;
}

}  // namespace fairlead::nftables
