// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/ruleset.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include <fmt/format.h>

namespace fairlead::iptables {

namespace {

using plan::Protocol;
using plan::ServicePortKey;

constexpr Protocol kProtocols[] = {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp};

Cidr Everything(Family family) {
  return {plan::AnyAddress(family), 0};
}

Tree::Shape ByAddress(Family family) {
  return {std::string(kServices),
          [](const Cidr& part) {
            // The longest IPv4 name still fits: FAIRLEAD-255.255.255.240/28.
            return part.GetFamily() == Family::kIpv4 ? "FAIRLEAD-" + part.ToString()
                                                     : HashedName("FAIRLEAD-NET-", part.ToString());
          },
          [](const Cidr& part) { return "-d " + part.ToString(); }, Everything(family)};
}

Tree::Shape ByPort(std::string root, std::string_view protocol) {
  auto range = [](const Cidr& part, char between) {
    const uint16_t first = PortOf(part.base);
    return fmt::format("{}{}{}", first, between, first + (0xffffU >> (part.bits - 16)));
  };
  return {root, [root, range](const Cidr& part) { return fmt::format("{}-{}", root, range(part, '-')); },
          [range, protocol](const Cidr& part) {
            return fmt::format("-p {} -m {} --dport {}", protocol, protocol, range(part, ':'));
          },
          Everything(Family::kIpv4)};
}

std::string PortRoot(Protocol protocol) {
  return fmt::format("FAIRLEAD-{}", kube::ProtocolName(protocol));
}

std::map<Protocol, Tree> PortTrees() {
  std::map<Protocol, Tree> trees;
  for (Protocol protocol : kProtocols) {
    trees.emplace(protocol, Tree(ByPort(PortRoot(protocol), ProtocolWord(protocol))));
  }
  return trees;
}

// Owners of rules that are no service port's.
const ServicePortKey kTheNode{{"", "node"}, "", Protocol::kTcp, Family::kIpv4};
const ServicePortKey kAnEarlierRun{{"", "earlier"}, "", Protocol::kTcp, Family::kIpv4};
constexpr Slot kNodeSlot{true, Protocol::kTcp, 0};

// Where the rules of one frontend may be.
std::vector<Place> PlacesOf(Place place) {
  switch (place) {
    case Place::kNatAddress:
    case Place::kFilterAddress:
      return {Place::kNatAddress, Place::kFilterAddress};
    case Place::kNatPort:
    case Place::kFilterPort:
      return {Place::kNatPort, Place::kFilterPort};
    case Place::kHealthPort:
      break;
  }
  return {};
}

Hook NodeAddressHook(const Address& address) {
  return {Place::kNatAddress, address, kNodeSlot,
          fmt::format("-d {} {} -j {}", Host(address), CommentMatch("fairlead NodePorts"), kNodePorts)};
}

}  // namespace

Ruleset::Ruleset(Family family, const netfilter::NetfilterOptions& options)
    : family_(family),
      options_(options),
      nat_addresses_(ByAddress(family)),
      filter_addresses_(ByAddress(family)),
      nat_ports_(PortTrees()),
      filter_ports_(PortTrees()),
      health_ports_(ByPort(std::string(kHealth), "tcp")) {
  SetNode({});
}

Tree& Ruleset::TreeFor(Place place, Protocol protocol) {
  switch (place) {
    case Place::kNatAddress:
      return nat_addresses_;
    case Place::kNatPort:
      return nat_ports_.at(protocol);
    case Place::kFilterAddress:
      return filter_addresses_;
    case Place::kFilterPort:
      return filter_ports_.at(protocol);
    case Place::kHealthPort:
      return health_ports_;
  }
  return health_ports_;
}

Ruleset::ServicePtr Ruleset::Set(const ServicePortKey& key, ServicePtr now) {
  ServicePtr before;
  if (auto known = services_.find(key); known != services_.end()) before = known->second;
  ServiceRules old = before ? RenderService(*before, matches_) : ServiceRules{};
  ServiceRules rules = now ? RenderService(*now, matches_) : ServiceRules{};
  TakeDown(key, old);
  Hang(key, rules);
  Chains fresh(rules.chains.begin(), rules.chains.end());
  for (const auto& [chain, body] : old.chains) {
    if (!fresh.contains(chain)) SetChain(Table::kNat, chain, nullptr);
  }
  for (const auto& [chain, body] : fresh) SetChain(Table::kNat, chain, &body);
  if (now) {
    services_[key] = std::move(now);
  } else {
    services_.erase(key);
  }
  return before;
}

void Ruleset::Hang(const ServicePortKey& owner, const ServiceRules& rules) {
  for (const Hook& hook : rules.hooks) {
    if (!earlier_.empty()) DropEarlier(hook);
    TreeFor(hook.place, hook.slot.protocol).Put(hook.key, hook.slot, owner, hook.rule);
  }
}

void Ruleset::TakeDown(const ServicePortKey& owner, const ServiceRules& rules) {
  for (const Hook& hook : rules.hooks) {
    TreeFor(hook.place, hook.slot.protocol).Remove(hook.key, hook.slot, owner);
  }
}

void Ruleset::SetNode(const plan::NodePlan& node) {
  node_ = node;
  NodeRules rules = RenderNode(family_, options_, node, keeps_guard_);
  for (Table table : kTables) {
    const auto& old = node_rules_.chains[static_cast<size_t>(table)];
    const auto& fresh = rules.chains[static_cast<size_t>(table)];
    for (const auto& [chain, body] : old) {
      if (!fresh.contains(chain)) SetChain(table, chain, nullptr);
    }
    for (const auto& [chain, body] : fresh) SetChain(table, chain, &body);
  }
  node_rules_ = std::move(rules);
  NodeMatches matches = MatchesOf(family_, options_, node);
  if (matches == matches_) return;
  RenderNodeAddresses(matches_.addresses, matches.addresses);
  // Rules of services name pods and the node: they are taken down as they were hung.
  std::map<ServicePortKey, ServicePtr> services = std::exchange(services_, {});
  for (const auto& [key, service] : services) {
    services_[key] = service;
    Set(key, nullptr);
  }
  matches_ = std::move(matches);
  for (const auto& [key, service] : services) Set(key, service);
}

void Ruleset::KeepGuard() {
  keeps_guard_ = true;
  SetNode(plan::NodePlan(node_));
}

void Ruleset::SetNote(std::string_view chain, bool there) {
  const std::string empty;
  SetChain(Table::kFilter, std::string(chain), there ? &empty : nullptr);
}

void Ruleset::RenderNodeAddresses(const std::vector<Address>& before, const std::vector<Address>& now) {
  for (const Address& address : before) nat_addresses_.Remove(address, kNodeSlot, kTheNode);
  for (const Address& address : now) {
    nat_addresses_.Put(address, kNodeSlot, kTheNode, NodeAddressHook(address).rule);
  }
}

// --- what an earlier run left

void Ruleset::KeepEarlier(Table table, std::string_view rule) {
  Hook hook;
  hook.rule = rule;
  bool by_address = false, by_port = false;
  std::istringstream words{std::string(rule)};
  for (std::string word, value; words >> word;) {
    if (word != "-d" && word != "-p" && word != "--dport" && word != "-j") continue;
    words >> value;
    if (word == "-d") {
      auto address = Address::Parse(value.substr(0, value.find('/')));
      if (!address || value != Host(*address)) return;
      hook.key = *address;
      by_address = true;
    } else if (word == "-p") {
      auto protocol = std::ranges::find(kProtocols, value, ProtocolWord);
      if (protocol == std::end(kProtocols)) return;
      hook.slot.protocol = *protocol;
    } else if (word == "--dport") {
      const unsigned long port = value.contains(':') ? 0 : std::strtoul(value.c_str(), nullptr, 10);
      if (port == 0 || port > 65535) return;
      hook.slot.port = static_cast<uint16_t>(port);
      by_port = true;
    } else if (value != "REJECT" && value != "DROP" && !IsOfService(value)) {
      return;
    }
  }
  if (!by_port) return;
  if (!by_address) hook.key = PortKey(hook.slot.port);
  const bool nat = table == Table::kNat;
  hook.place = by_address ? (nat ? Place::kNatAddress : Place::kFilterAddress)
                          : (nat ? Place::kNatPort : Place::kFilterPort);
  const bool known = std::ranges::any_of(PlacesOf(hook.place), [&](Place place) {
    return TreeFor(place, hook.slot.protocol).HasBeside(hook.key, hook.slot, kAnEarlierRun);
  });
  if (known) return;
  TreeFor(hook.place, hook.slot.protocol).Put(hook.key, hook.slot, kAnEarlierRun, hook.rule);
  earlier_.emplace_back(hook, hook.slot.protocol);
}

void Ruleset::DropEarlier(const Hook& hook) {
  for (Place place : PlacesOf(hook.place)) {
    TreeFor(place, hook.slot.protocol).Remove(hook.key, hook.slot, kAnEarlierRun);
  }
}

void Ruleset::ForgetEarlier() {
  for (const auto& [hook, protocol] : earlier_) {
    TreeFor(hook.place, protocol).Remove(hook.key, hook.slot, kAnEarlierRun);
  }
  earlier_.clear();
  keeps_earlier_ = false;
}

// --- what changed

void Ruleset::SetChain(Table table, const std::string& chain, const std::string* body) {
  const auto at = static_cast<size_t>(table);
  auto count = [](const std::string& rules) {
    return static_cast<uint64_t>(std::ranges::count(rules, '\n'));
  };
  auto known = chains_[at].find(chain);
  if (known != chains_[at].end() && body != nullptr && known->second == *body) return;
  changed_[at].insert(chain);
  if (known != chains_[at].end()) rules_[at] -= count(known->second);
  if (body != nullptr) rules_[at] += count(*body);
  if (body == nullptr) {
    if (known != chains_[at].end()) chains_[at].erase(known);
  } else {
    chains_[at][chain] = *body;
  }
}

ChainNames Ruleset::TakeChanged() {
  auto writer = [this](Table table) {
    return [this, table](const std::string& chain, const std::string* body) { SetChain(table, chain, body); };
  };
  nat_addresses_.Refresh(writer(Table::kNat));
  filter_addresses_.Refresh(writer(Table::kFilter));
  for (auto& [protocol, tree] : nat_ports_) tree.Refresh(writer(Table::kNat));
  for (auto& [protocol, tree] : filter_ports_) tree.Refresh(writer(Table::kFilter));
  if (options_.serves == netfilter::Serves::kAll) health_ports_.Refresh(writer(Table::kFilter));
  return std::exchange(changed_, {});
}

}  // namespace fairlead::iptables
