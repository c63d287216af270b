// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/state.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace fairlead::ipvs {

namespace {

constexpr int kMostRefusals = 8;  // of single elements in one write; then it is not the elements

}  // namespace

State::State(const Ledger& ledger, Kernel& kernel, Device& device, RunTool run, StateOptions options)
    : ledger_(ledger), device_(device), options_(std::move(options)), servers_(kernel), ipset_(run) {
  for (Family family : options_.families)
    rules_.emplace(family, RulesTool(run, options_.rules.Program(family, "")));
}

bool State::Excluded(const Address& address) const {
  return std::ranges::any_of(options_.exclude, [&](const Cidr& cidr) { return cidr.Contains(address); });
}

bool State::Wanted(const Element& element) const {
  if (element.set.kind == SetKind::kFrontends) {
    ServerKey key;
    return ParseFrontend(element, key) && (ledger_.Server(key) != nullptr || servers_.Has(key));
  }
  if (element.set.kind == SetKind::kAddresses) {
    const auto address = Address::Parse(element.text);
    return address && Wanted(*address);
  }
  return ledger_.Has(element);
}

// An address of another device is the node's: only the services' ports are taken, by their virtual servers.
bool State::Wanted(const Address& address) const {
  if (addresses_.others.contains(address)) return false;
  return ledger_.Has(address) || (addresses_.ours.contains(address) && servers_.HasAddress(address));
}

ServerTable::Wanted State::WantedServers() const {
  return [this](const ServerKey& key) { return ledger_.Server(key); };
}

Result<void> State::Load() {
  std::string create;
  for (Family family : options_.families) create += CreateSets(family);
  if (auto created = ipset_.Restore(create); !created) return created;
  auto saved = ipset_.Save();
  if (!saved) return std::unexpected(std::move(saved.error()));
  elements_ = std::move(saved->elements);
  if (auto ensured = device_.Ensure(); !ensured) return ensured;
  auto addresses = device_.List();
  if (!addresses) return std::unexpected(std::move(addresses.error()));
  addresses_ = std::move(*addresses);
  return servers_.Load([&](const ServerKey& key) {
    return elements_.contains(FrontendElement(key)) ||
           (!Excluded(key.address) && addresses_.ours.contains(key.address));
  });
}

Result<void> State::LoadAddresses(Touched& touched) {
  auto addresses = device_.List();
  if (!addresses) return std::unexpected(std::move(addresses.error()));
  std::vector<Address> moved;
  std::ranges::set_symmetric_difference(addresses_.others, addresses->others, std::back_inserter(moved));
  addresses_ = std::move(*addresses);
  for (const Address& address : moved) {
    if (ledger_.Has(address)) touched.addresses.insert(address);
  }
  return {};
}

State::Difference State::Differ(const Touched& touched) const {
  Difference difference;
  const auto differ = [&](const Element& element) {
    const bool wanted = Wanted(element);
    if (wanted != elements_.contains(element))
      (wanted ? difference.add : difference.remove).push_back(element);
  };
  for (const Element& element : touched.elements) differ(element);
  for (const ServerKey& key : touched.servers) differ(FrontendElement(key));
  for (const Address& address : touched.addresses) {
    differ(AddressElement(address));
    const bool wanted = Wanted(address);
    if (wanted != addresses_.ours.contains(address))
      (wanted ? difference.up : difference.down).push_back(address);
  }
  std::ranges::sort(difference.add);
  std::ranges::sort(difference.remove);
  return difference;
}

Result<void> State::Add(std::span<const Element> elements, int& refusals, Refusals& refused) {
  auto restored = ipset_.Restore(AddElements(elements));
  if (restored) {
    elements_.insert(elements.begin(), elements.end());
    written_ += elements.size();
    return {};
  }
  if (restored.error().kind != ErrorKind::kInvalid) return restored;
  if (elements.size() > 1 && refusals < kMostRefusals) {
    const size_t half = elements.size() / 2;
    if (auto first = Add(elements.first(half), refusals, refused); !first) return first;
    return Add(elements.subspan(half), refusals, refused);
  }
  ++refusals;
  for (const Element& element : elements) {
    if (ledger_.IsOfNode(element)) return restored;
    refused.elements.emplace(element, restored.error());
  }
  return {};
}

Result<void> State::Remove(std::span<const Element> elements) {
  if (auto restored = ipset_.Restore(RemoveElements(elements)); !restored) return restored;
  for (const Element& element : elements) elements_.erase(element);
  written_ += elements.size();
  return {};
}

void State::ChangeAddresses(std::span<const Address> addresses, bool add, Refusals& refused) {
  for (const Address& address : addresses) {
    auto changed = add ? device_.Add(address) : device_.Remove(address);
    if (!changed) {
      refused.addresses.emplace(address, std::move(changed.error()));
      continue;
    }
    if (add) {
      addresses_.ours.insert(address);
    } else {
      addresses_.ours.erase(address);
    }
    ++written_;
  }
}

std::vector<ServerKey> State::Guarded(const Touched& touched, const Refusals& refused) const {
  std::vector<ServerKey> keys(touched.servers.begin(), touched.servers.end());
  const auto blamed = ledger_.Blame(refused);
  std::erase_if(keys, [&](const ServerKey& key) {
    const plan::ServicePortKey* owner = ledger_.OwnerOf(key);
    return owner != nullptr && blamed.contains(*owner);
  });
  return keys;
}

State::Outcome State::Write(const Touched& touched, bool rules) {
  Outcome outcome;
  const auto failed = [&](Result<void> done) {
    if (!done) outcome.error = std::move(done.error());
    return !done;
  };
  int refusals = 0;
  const std::vector<Element> add = Differ(touched).add;
  if (!add.empty() && failed(Add(add, refusals, outcome.refused))) return outcome;
  outcome.refused.servers = servers_.Bring(Guarded(touched, outcome.refused), WantedServers());
  if (rules && failed(StandRules())) return outcome;
  // What a server that is going still needs is only known now.
  Difference difference = Differ(touched);
  // Whoever sends to an address without a server would reach a socket of the node.
  std::erase_if(difference.up, [&](const Address& address) { return !servers_.HasAddress(address); });
  ChangeAddresses(difference.up, true, outcome.refused);
  ChangeAddresses(difference.down, false, outcome.refused);
  if (!difference.remove.empty()) failed(Remove(difference.remove));
  return outcome;
}

Result<void> State::StandRules() {
  readings_.tables.clear();
  for (auto& [family, tool] : rules_) {
    const std::vector<RuleTable> tables = RenderRules(family, options_.netfilter);
    auto stood = tool.Stand(tables);
    if (!stood) {
      ++readings_.failures[family == Family::kIpv6];
      return std::unexpected(std::move(stood.error()));
    }
    written_ += *stood;
    for (const RuleTable& table : tables) {
      const uint64_t rules = RulesOf(table);
      readings_.tables.push_back({family, table.name, rules, *stood == 0 ? 0 : rules});
    }
  }
  return {};
}

State::Outcome State::Sweep() {
  Touched touched;
  for (const ServerKey& key : servers_.Sweep(WantedServers())) {
    touched.servers.insert(key);
    touched.addresses.insert(key.address);
  }
  if (touched.servers.empty()) return {};
  return Write(touched, false);
}

void State::TouchStale(Touched& touched) const {
  for (const ServerKey& key : servers_.Keys()) touched.servers.insert(key);
  for (const Element& element : elements_) {
    if (element.set.kind != SetKind::kAddresses) touched.elements.insert(element);
    if (element.set.kind != SetKind::kAddresses) continue;
    if (const auto address = Address::Parse(element.text)) touched.addresses.insert(*address);
  }
  touched.addresses.insert(addresses_.ours.begin(), addresses_.ours.end());
}

datapath::RuleReadings State::Readings() const {
  return readings_;
}

}  // namespace fairlead::ipvs
