// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/ledger.h"

#include <utility>

namespace fairlead::ipvs {

namespace {

template <typename Key>
void CountIn(std::map<Key, int>& counts, const Key& key, int by) {
  const auto it = counts.try_emplace(key, 0).first;
  it->second += by;
  if (it->second == 0) counts.erase(it);
}

}  // namespace

void Ledger::Count(const Element& element, int by, Touched& touched) {
  CountIn(elements_, element, by);
  touched.elements.insert(element);
}

std::optional<Contribution> Ledger::Take(const plan::ServicePortKey& key, Touched& touched) {
  const auto it = contributions_.find(key);
  if (it == contributions_.end()) return std::nullopt;
  for (const VirtualServer& server : it->second.servers) {
    const auto owned = servers_.find(server.key);
    if (owned != servers_.end() && owned->second.server == &server) servers_.erase(owned);
    touched.servers.insert(server.key);
  }
  for (const Element& element : it->second.elements) Count(element, -1, touched);
  for (const Address& address : it->second.addresses) {
    CountIn(addresses_, address, -1);
    touched.addresses.insert(address);
  }
  std::optional<Contribution> taken = std::move(it->second);
  contributions_.erase(it);
  return taken;
}

void Ledger::Put(const plan::ServicePortKey& key, Contribution contribution, Touched& touched) {
  const auto it = contributions_.emplace(key, std::move(contribution)).first;
  for (const VirtualServer& server : it->second.servers) {
    servers_[server.key] = {&it->first, &server};
    touched.servers.insert(server.key);
  }
  for (const Element& element : it->second.elements) Count(element, 1, touched);
  for (const Address& address : it->second.addresses) {
    CountIn(addresses_, address, 1);
    touched.addresses.insert(address);
  }
}

void Ledger::SetNode(std::vector<Element> elements, Touched& touched) {
  for (const Element& element : node_) Count(element, -1, touched);
  for (const Element& element : elements) Count(element, 1, touched);
  node_ = std::move(elements);
  std::ranges::sort(node_);
}

const VirtualServer* Ledger::Server(const ServerKey& key) const {
  const auto it = servers_.find(key);
  return it == servers_.end() ? nullptr : it->second.server;
}

const plan::ServicePortKey* Ledger::OwnerOf(const ServerKey& key) const {
  const auto it = servers_.find(key);
  return it == servers_.end() ? nullptr : it->second.owner;
}

std::map<plan::ServicePortKey, Error> Ledger::Blame(const Refusals& refused) const {
  std::map<plan::ServicePortKey, Error> blamed;
  if (refused.empty()) return blamed;
  for (const auto& [owner, asked] : contributions_) {
    auto blame = [&, &of = owner](const auto& errors, const auto& what) {
      if (auto it = errors.find(what); it != errors.end()) blamed.emplace(of, it->second);
    };
    for (const Element& element : asked.elements) blame(refused.elements, element);
    for (const VirtualServer& server : asked.servers) {
      blame(refused.elements, FrontendElement(server.key));
      if (Server(server.key) == &server) blame(refused.servers, server.key);
    }
    for (const Address& address : asked.addresses) {
      blame(refused.elements, AddressElement(address));
      blame(refused.addresses, address);
    }
  }
  return blamed;
}

void Ledger::TouchAll(Touched& touched) const {
  for (const auto& [key, owned] : servers_) touched.servers.insert(key);
  for (const auto& [element, count] : elements_) touched.elements.insert(element);
  for (const auto& [address, count] : addresses_) touched.addresses.insert(address);
}

}  // namespace fairlead::ipvs
