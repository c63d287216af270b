// SPDX-License-Identifier: Apache-2.0
// The kernel's virtual servers, made equal to what is wanted. Keeps a copy of the kernel's state, so that a
// change costs what it changes; a step that fails makes it look again. Servers that are neither wanted nor
// known as ours are somebody else's: they are seen, and left alone.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/ipvs/kernel.h"
#include "agent/datapath/ipvs/server.h"

namespace fairlead::ipvs {

class ServerTable {
 public:
  // What a server should be; null: it should not be there.
  using Wanted = std::function<const VirtualServer*(const ServerKey&)>;
  using IsOurs = std::function<bool(const ServerKey&)>;

  explicit ServerTable(Kernel& kernel) : kernel_(kernel) {}

  // Reads the kernel's state anew.
  Result<void> Load(const IsOurs& is_ours);

  // Makes these as wanted; the errors of those that could not be. `keys` without duplicates.
  std::map<ServerKey, Error> Bring(std::span<const ServerKey> keys, const Wanted& wanted);

  // Looks at what drains, removes what has no connections left, and gives the servers that are gone with
  // that.
  std::vector<ServerKey> Sweep(const Wanted& wanted);
  bool Draining() const { return !draining_.empty(); }

  // Servers of ours, wanted or draining.
  bool Has(const ServerKey& key) const { return present_.contains(key) && !foreign_.contains(key); }
  bool HasAddress(const Address& address) const;
  std::vector<ServerKey> Keys() const;
  size_t size() const { return present_.size() - foreign_.size(); }
  // Steps done since the start.
  uint64_t steps() const { return steps_; }

 private:
  struct Task {
    ServerKey key;
    size_t first = 0, count = 0;  // of its steps
  };
  const PresentServer* Present(const ServerKey& key) const;
  std::map<ServerKey, Error> BringOnce(std::span<const ServerKey> keys, const Wanted& wanted);
  // Reads these anew.
  Result<void> Look(std::span<const ServerKey> keys);
  void Note(const ServerKey& key, const Wanted& wanted);

  Kernel& kernel_;
  PresentServers present_;
  std::set<ServerKey> foreign_;
  std::set<ServerKey> draining_;
  uint64_t steps_ = 0;
};

}  // namespace fairlead::ipvs
