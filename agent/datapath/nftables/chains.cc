// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/chains.h"

#include <utility>

#include <fmt/format.h>

namespace fairlead::nftables {

namespace {

constexpr uint32_t kUsualCounts = 16;

std::string_view KindWord(Chain::Kind kind) {
  switch (kind) {
    case Chain::Kind::kPick:
      return "pick";
    case Chain::Kind::kOutside:
      return "outside";
    case Chain::Kind::kMasquerade:
      return "masquerade";
    case Chain::Kind::kHere:
      return "here";
    case Chain::Kind::kLocal:
      return "local";
  }
  std::unreachable();
}

char Digit(Family family) {
  return family == Family::kIpv4 ? '4' : '6';
}

std::string_view Ip(Family family) {
  return family == Family::kIpv4 ? "ip" : "ip6";
}

std::string Joined(const std::string& match, const std::string& statement) {
  return match.empty() ? statement : match + " " + statement;
}

}  // namespace

std::string Wording::FromPod(Family family) const {
  switch (local_traffic.by) {
    case netfilter::LocalTraffic::By::kNothing:
      return {};
    case netfilter::LocalTraffic::By::kPrefix:
      return fmt::format("{} saddr @pods{}", Ip(family), Digit(family));
    case netfilter::LocalTraffic::By::kBridge:
      return fmt::format("iifname \"{}\"", local_traffic.device);
    case netfilter::LocalTraffic::By::kDevicePrefix:
      return fmt::format("iifname \"{}*\"", local_traffic.device);
  }
  std::unreachable();
}

std::string Wording::NotFromPod(Family family) const {
  std::string match = FromPod(family);
  const size_t space = match.find_last_of(' ');
  if (space != std::string::npos) match.insert(space, " !=");
  return match;
}

std::string Wording::Mark() const {
  return fmt::format("meta mark set meta mark or {:#x}", mark);
}

std::string Chain::Name() const {
  std::string name = fmt::format("{}{}{}", node_port ? "node-" : "", KindWord(kind), Digit(family));
  if (kind != Kind::kHere) name += fmt::format("-{}", count);
  if (kind == Kind::kHere || kind == Kind::kLocal) name += fmt::format("-{}", here);
  return name;
}

std::vector<Chain> Chain::Next() const {
  std::vector<Chain> next;
  auto add = [&](Kind to, uint32_t of_count, uint32_t of_here) {
    next.push_back({to, node_port, family, of_count, of_here});
  };
  if (kind == Kind::kOutside || kind == Kind::kMasquerade) add(Kind::kPick, count, 0);
  if (kind == Kind::kLocal && count > 0) {
    add(Kind::kPick, count, 0);
    add(Kind::kMasquerade, count, 0);
  }
  if (kind == Kind::kLocal && here > 0) add(Kind::kHere, 0, here);
  return next;
}

std::vector<std::string> Chain::Rules(const Wording& wording) const {
  const Chain pick{Kind::kPick, node_port, family, count, 0};
  const Chain masquerade{Kind::kMasquerade, node_port, family, count, 0};
  const Chain beside{Kind::kHere, node_port, family, 0, here};
  const std::string from_pod = wording.FromPod(family);
  std::vector<std::string> rules;
  switch (kind) {
    case Kind::kPick:
    case Kind::kHere:
      return {};
    case Kind::kOutside:
      return {Joined(wording.NotFromPod(family), wording.Mark()), "goto " + pick.Name()};
    case Kind::kMasquerade:
      return {wording.Mark(), "goto " + pick.Name()};
    case Kind::kLocal:
      if (!from_pod.empty()) rules.push_back(from_pod + (count > 0 ? " goto " + pick.Name() : " drop"));
      rules.push_back("fib saddr type local " + (count > 0 ? "goto " + masquerade.Name() : "drop"));
      rules.push_back(here > 0 ? "goto " + beside.Name() : "drop");
      return rules;
  }
  std::unreachable();
}

// To the backend the client is remembered to have, else to any.
std::vector<MapRule> Chain::MapRules() const {
  if (kind != Kind::kPick && kind != Kind::kHere) return {};
  const bool of_local = kind == Kind::kHere;
  MapRule follow;
  follow.chain = Name();
  follow.map =
      fmt::format("sticky{}{}{}", of_local ? "-here" : "", node_port ? "-nodeports" : "", Digit(family));
  follow.family = family;
  follow.node_port = node_port;
  MapRule choose = follow;
  choose.kind = MapRule::Kind::kChoose;
  choose.map = fmt::format("{}backends{}", node_port ? "nodeport-" : "", Digit(family));
  choose.count = of_local ? here : count;
  choose.offset = of_local ? kHereSlots : 0;
  return {follow, choose};
}

void AddWithNext(const Chain& chain, std::set<Chain>& to) {
  if (!to.insert(chain).second) return;
  for (const Chain& next : chain.Next()) AddWithNext(next, to);
}

std::set<Chain> WithUsualCounts(std::set<Chain> chains) {
  std::set<Chain> usual;
  for (Chain chain : chains) {
    if (chain.kind == Chain::Kind::kLocal) continue;  // of these there is one for two numbers
    uint32_t& count = chain.kind == Chain::Kind::kHere ? chain.here : chain.count;
    if (count > 1 && usual.contains(chain)) continue;
    for (count = 1; count <= kUsualCounts; ++count) usual.insert(chain);
  }
  chains.merge(usual);
  return chains;
}

}  // namespace fairlead::nftables
