// SPDX-License-Identifier: Apache-2.0
// Rules that each begin with one address (or one port), in chains so that a packet walks a few dozen of them
// at most however many there are: a chain holds the rules of up to kBucket keys, or a jump for each of the up
// to 16 parts of the prefix its keys have in common. The same keys always give the same chains. A key that
// comes or goes changes the chains on its path, and their neighbours when a bucket splits or joins.
//
// A port is the key 0.0.high.low. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/address.h"
#include "agent/plan/plan.h"

namespace fairlead::iptables {

Address PortKey(uint16_t port);
uint16_t PortOf(const Address& key);

// A rule's place among those of its key.
struct Slot {
  bool last = false;  // after all others
  plan::Protocol protocol = plan::Protocol::kTcp;
  uint16_t port = 0;

  friend auto operator<=>(const Slot&, const Slot&) = default;
};

class Tree {
 public:
  static constexpr size_t kBucket = 16;
  // nf_tables follows 16 jumps; half of them are the service's own and of whoever jumps to us.
  static constexpr int kDepth = 8;

  struct Shape {
    std::string root;                               // the chain of everything
    std::function<std::string(const Cidr&)> chain;  // of a part
    std::function<std::string(const Cidr&)> match;  // what leads there, without the jump
    Cidr all;
  };
  // A null body: the chain is gone.
  using Write = std::function<void(const std::string& chain, const std::string* body)>;

  explicit Tree(Shape shape) : shape_(std::move(shape)) {}

  // Where several owners claim one place the latest has it; when that leaves, the one before.
  void Put(const Address& key, const Slot& slot, const plan::ServicePortKey& owner, std::string rule);
  void Remove(const Address& key, const Slot& slot, const plan::ServicePortKey& owner);
  // Whether another than this one claims it.
  bool HasBeside(const Address& key, const Slot& slot, const plan::ServicePortKey& owner) const;

  // Writes the chains that may have changed since the last call.
  void Refresh(const Write& write);

 private:
  struct Claim {
    plan::ServicePortKey owner;
    std::string rule;
  };
  using Slots = std::map<Slot, std::vector<Claim>>;
  using Keys = std::map<Address, Slots>;
  using Parts = std::vector<Cidr>;

  std::string ChainOf(const Cidr& part) const;
  Keys::const_iterator Begin(const Cidr& part) const { return keys_.lower_bound(part.base); }
  bool Fits(const Cidr& part) const;
  Parts Split(const Cidr& part) const;
  bool Dirty(const Cidr& part) const;
  void Render(const Cidr& part, int depth, const Write& write);
  void Drop(const Cidr& part, const Write& write);

  Shape shape_;
  Keys keys_;
  std::set<Address> dirty_;
  std::map<Cidr, Parts> rendered_;  // a chain's children; empty: a bucket
};

}  // namespace fairlead::iptables
