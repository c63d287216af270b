// SPDX-License-Identifier: Apache-2.0
// What the table is to hold: every service port, and the elements that several need. Changes are tried on it
// first and kept when the kernel has them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/datapath/nftables/kernel.h"
#include "agent/datapath/nftables/service.h"

namespace fairlead::nftables {

// The group of an element that several service ports need.
inline constexpr size_t kNoGroup = static_cast<size_t>(-1);

class Ledger {
 public:
  // What is to become of the ledger; written only by Keep.
  struct Draft {
    std::map<plan::ServicePortKey, Standing> become;
    std::set<plan::ServicePortKey> go;
    std::unordered_map<uint64_t, int64_t> counts;  // how many more need a shared element, by its place
    std::vector<Write> writes;                     // deletions first
  };

  // The elements that differ after `changes`; a write's group is its change's index.
  Draft Try(std::span<const plan::Change> changes) const;
  void Keep(Draft draft);
  // Without saying what is to be written.
  void Take(std::span<const plan::Change> changes);

  const std::map<plan::ServicePortKey, Standing>& ports() const { return ports_; }
  size_t slots() const { return slots_; }  // of all
  // Every element there is to be, those of several only once. `port`: an index in order of keys, or kNoGroup.
  void ForEach(const std::function<void(size_t port, Element element)>& visit) const;
  // That are led to, or may well be soon.
  std::set<Chain> Chains() const;

 private:
  const Standing* Find(const plan::ServicePortKey& key) const;

  std::map<plan::ServicePortKey, Standing> ports_;
  size_t slots_ = 0;
  std::unordered_map<uint64_t, uint32_t> shared_;  // place -> service ports that need it
};

}  // namespace fairlead::nftables
