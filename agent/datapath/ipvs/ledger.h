// SPDX-License-Identifier: Apache-2.0
// What all service ports together ask of the kernel. Where two ask for the same thing it stands until neither
// does.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "agent/datapath/ipvs/render.h"

namespace fairlead::ipvs {

// What a change touched: these, and only these, may differ from the kernel now.
struct Touched {
  std::set<ServerKey> servers;
  std::set<Element> elements;
  std::set<Address> addresses;
};

// What the kernel or a tool did not take, of what was asked.
struct Refusals {
  std::map<ServerKey, Error> servers;
  std::map<Element, Error> elements;
  std::map<Address, Error> addresses;

  bool empty() const { return servers.empty() && elements.empty() && addresses.empty(); }
};

class Ledger {
 public:
  Ledger() = default;
  Ledger(Ledger&&) = default;  // entries point to each other: moved, never copied
  Ledger& operator=(Ledger&&) = default;

  // Takes out what the service port asked for; nothing if it asked for nothing.
  std::optional<Contribution> Take(const plan::ServicePortKey& key, Touched& touched);
  // The service port asks for nothing yet.
  void Put(const plan::ServicePortKey& key, Contribution contribution, Touched& touched);
  // The node's own elements, instead of those before.
  void SetNode(std::vector<Element> elements, Touched& touched);

  // Null: nobody asks for it.
  const VirtualServer* Server(const ServerKey& key) const;
  const plan::ServicePortKey* OwnerOf(const ServerKey& key) const;
  // The service ports that asked for what was refused, each with its first error.
  std::map<plan::ServicePortKey, Error> Blame(const Refusals& refused) const;
  bool IsOfNode(const Element& element) const { return std::ranges::binary_search(node_, element); }
  bool Has(const Element& element) const { return elements_.contains(element); }
  bool Has(const Address& address) const { return addresses_.contains(address); }

  void TouchAll(Touched& touched) const;

 private:
  struct Owned {
    const plan::ServicePortKey* owner;  // both point into contributions_
    const VirtualServer* server;
  };
  void Count(const Element& element, int by, Touched& touched);

  std::map<plan::ServicePortKey, Contribution> contributions_;
  std::map<ServerKey, Owned> servers_;
  std::map<Element, int> elements_;
  std::map<Address, int> addresses_;
  std::vector<Element> node_;  // ascending
};

}  // namespace fairlead::ipvs
