// SPDX-License-Identifier: Apache-2.0
// Makes the tables equal to the plan, one service port at a time, without a moment at which a reader sees a
// mixture:
//
//   1 the services row, the source ranges   nobody points at them yet
//   2 the runs of backends                  nobody points at them yet
//   3 flip: each frontend's one word        now they serve
//   4 kill frontends that are gone
//   5 retire old runs, ranges, ids          freed after a grace period
//
// Stopped between any two stores, the tables are consistent: what was made and not flipped is free memory to
// the next start, which finds its state in the tables (Restore) and goes on. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/ebpf/addresses.h"
#include "agent/datapath/ebpf/cidr_table.h"
#include "agent/datapath/ebpf/encode.h"
#include "agent/datapath/ebpf/frontend_table.h"
#include "agent/datapath/ebpf/ids.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/runs.h"
#include "agent/datapath/ebpf/source_sets.h"
#include "agent/datapath/ebpf/store.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::ebpf {

class Writer {
 public:
  Writer(const Tables& tables, Reclaimer& reclaimer);

  // Takes over what an earlier run left in the tables. Entries that make no sense are killed, and counted in
  // the result's text list.
  Result<std::vector<std::string>> Restore();

  // Gives services and backends of other tables, which these replace, the same ids here. What is not applied
  // before Prune gives its id back.
  Result<void> InheritIds(const Tables& old);

  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes);
  Result<void> ApplyNode(const plan::NodePlan& node);
  // Removes every service port that has not been applied since Restore. Errors leave the rest for the next
  // call.
  Result<void> Prune();

  // The addresses that packets to Services and to NodePorts are for.
  const Addresses& addresses() const { return addresses_; }

  std::vector<datapath::Usage> Usages() const;
  Store& store() { return store_; }
  const Store& store() const { return store_; }

 private:
  // What the tables hold of one service port.
  struct Present {
    uint32_t id = 0;
    bool applied = false;  // since the start, or tried: Prune leaves it
    std::vector<RunPlace> runs;
    std::vector<frontend_key> keys;  // frontends that are its own, sorted
    SourceSet sources;
    std::vector<SourceSet> old_sources;  // that a frontend which did not flip may still name
    std::vector<AddressUse> addresses;
  };
  using PresentMap = std::map<plan::ServicePortKey, Present>;

  // What an earlier run left, while Restore sorts it out.
  struct Left {
    std::unordered_map<uint32_t, PresentMap::iterator> services;  // by id
    std::map<uint32_t, SourceSet> sets;                           // by id
    std::map<uint32_t, RunPlace> runs;                            // by offset; those adopted
  };

  Result<Left> RestoreServices();
  Result<void> Adopt(Left& left, const frontend_key& key, frontend value);

  Result<void> Set(const plan::ServicePort& port, std::vector<frontend_key>& gone);
  void Remove(PresentMap::iterator it, std::vector<frontend_key>& gone);
  Result<PresentMap::iterator> PresentOf(const plan::ServicePortKey& key);
  Result<void> CheckRoom(const std::vector<Entry>& entries, const std::vector<AddressUse>& addresses) const;
  Result<std::vector<RunPlace>> MakeRuns(const plan::ServicePort& port, const Present& present,
                                         const std::vector<Entry>& entries, uint32_t source_set);
  Result<void> Flip(PresentMap::iterator it, const std::vector<Entry>& entries,
                    const std::vector<RunPlace>& by_list);
  void Disown(PresentMap::iterator it, const frontend_key& key, std::vector<frontend_key>& gone);
  void KillUnowned(const std::vector<frontend_key>& keys);
  void ReleaseRuns(const std::vector<RunPlace>& runs, const std::vector<RunPlace>& except, uint8_t proto);
  void DeleteServiceRow(uint32_t id);

  Tables tables_;
  Reclaimer& reclaimer_;
  Store store_;
  FrontendTable frontends_;
  Destinations destinations_;
  Addresses addresses_;
  CidrTable service_cidrs_;
  CidrTable pod_cidrs_;
  Runs runs_;
  IdPool service_ids_;
  SourceSets sources_;
  PresentMap present_;
  std::map<frontend_key, const plan::ServicePortKey*, FrontendKeyLess> owner_;  // points to keys of present_
  std::vector<SourceSet> orphans_;  // source sets of an earlier run that no run names
};

}  // namespace fairlead::ebpf
