// SPDX-License-Identifier: Apache-2.0
// Everything of ours in the kernel, kept equal to the ledger: sets, virtual servers, the device's addresses,
// rules. Written so that an address never answers before its rules stand, and what we made is always known
// as ours: its element is in FAIRLEAD-FRONTENDS before a server is there, and as long as it is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/ipvs/device.h"
#include "agent/datapath/ipvs/ledger.h"
#include "agent/datapath/ipvs/server_table.h"
#include "agent/datapath/ipvs/tools.h"

namespace fairlead::ipvs {

struct StateOptions {
  netfilter::NetfilterOptions netfilter;
  std::vector<Cidr> exclude;     // virtual servers in these are ours only by FAIRLEAD-FRONTENDS
  std::vector<Family> families;  // that this node has
  iptables::Backend rules;
};

class State {
 public:
  State(const Ledger& ledger, Kernel& kernel, Device& device, RunTool run, StateOptions options);

  struct Outcome {
    std::optional<Error> error;  // of all that was asked
    Refusals refused;            // and so not written; the rest is
    bool ok() const { return !error && refused.empty(); }
  };

  // Reads what the kernel has. Rules are not read here, but by StandRules.
  Result<void> Load();
  // Reads the devices' addresses anew: one that has become the node's own, or is no longer, is touched.
  Result<void> LoadAddresses(Touched& touched);
  // Writes what was touched. `rules`: between virtual servers and addresses.
  Outcome Write(const Touched& touched, bool rules);
  Result<void> StandRules();
  // Virtual servers that have drained, with their addresses.
  Outcome Sweep();
  bool Draining() const { return servers_.Draining(); }

  // What the kernel holds of ours and the ledger does not know.
  void TouchStale(Touched& touched) const;
  // Things written since the start, each counted once: steps, elements, addresses, rules.
  uint64_t written() const { return written_ + servers_.steps(); }
  datapath::RuleReadings Readings() const;

 private:
  struct Difference {
    std::vector<Element> add, remove;
    std::vector<Address> up, down;
  };
  Difference Differ(const Touched& touched) const;
  bool Wanted(const Element& element) const;
  bool Wanted(const Address& address) const;
  bool Excluded(const Address& address) const;
  ServerTable::Wanted WantedServers() const;
  // By halves where some are refused.
  Result<void> Add(std::span<const Element> elements, int& refusals, Refusals& refused);
  Result<void> Remove(std::span<const Element> elements);
  void ChangeAddresses(std::span<const Address> addresses, bool add, Refusals& refused);
  // Those of `touched` whose owners had every element taken: no server serves without what guards it.
  std::vector<ServerKey> Guarded(const Touched& touched, const Refusals& refused) const;

  const Ledger& ledger_;
  Device& device_;
  StateOptions options_;
  ServerTable servers_;
  IpsetTool ipset_;
  std::map<Family, RulesTool> rules_;
  Elements elements_;            // in the kernel
  Device::Addresses addresses_;  // likewise
  uint64_t written_ = 0;
  datapath::RuleReadings readings_;
};

}  // namespace fairlead::ipvs
