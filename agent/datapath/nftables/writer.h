// SPDX-License-Identifier: Apache-2.0
// Keeps table inet fairlead equal to the plan: what changes at once, and the whole of it now and then and
// whenever somebody else has written to it. One thread.
//
// A change is: chains it needs and that are not there yet (nft, seldom), then all its elements in one
// transaction, then what session affinity no longer needs. What stands is never read for that. A refusal
// names an element, so it is put down to its Service and the others go on.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/netfilter/options.h"
#include "agent/datapath/nftables/kernel.h"
#include "agent/datapath/nftables/ledger.h"

namespace fairlead::nftables {

class Writer {
 public:
  using Clock = std::chrono::steady_clock;
  struct Counts {
    uint64_t rules = 0;
    uint64_t written = 0;           // elements, by the last transaction
    uint64_t failures = 0;          // transactions that were refused
    uint64_t partial_failures = 0;  // of those, such as held only what had changed
    uint64_t cleanup_failures = 0;
  };

  Writer(Kernel& kernel, const netfilter::NetfilterOptions& options);

  // Before Commit these write nothing.
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes);
  Result<void> ApplyNode(const plan::NodePlan& node);

  // Makes the table, or takes over the one that stands: then only differences are written, and what is there
  // beyond the plan stays until Prune.
  Result<void> Commit();
  Result<void> Prune();

  // A look at the whole if it is due, or if somebody has written to our table. When the next one is due.
  Clock::time_point CheckUp(Clock::time_point now);

  bool committed() const { return committed_; }
  const Counts& counts() const { return counts_; }
  std::vector<datapath::Refusal> Refused() const;
  size_t ports() const { return ledger_.ports().size(); }
  size_t backends() const { return ledger_.slots(); }

 private:
  Result<void> Run(const std::string& script);
  Result<void> Counted(Result<void> transaction);
  Result<void> Rewrite(const std::set<Chain>& chains, const std::map<plan::ServicePortKey, Sticky>& stickies);
  Result<std::vector<Refusal>> Send(std::span<const Write> writes);

  // Applying (writer.cc).
  std::vector<datapath::Failure> ApplyToRefused(std::vector<plan::Change>& changes);
  std::vector<datapath::Failure> Write(std::vector<plan::Change> changes, bool healed);
  std::vector<datapath::Failure> WriteHalves(const std::vector<plan::Change>& changes, const Error& error);
  std::vector<datapath::Failure> MakeChains(std::vector<plan::Change>& changes);
  bool HasChains(const plan::Change& change, std::set<Chain>& chains,
                 std::map<plan::ServicePortKey, Sticky>& stickies) const;
  void Keep(const Ledger::Draft& draft);
  void ReplaceLeftovers(std::vector<nftables::Write>& writes) const;
  void Settle(const Ledger::Draft& draft);
  void RemoveSticky(const Ledger::Draft& draft);
  bool HasDeparted(const Standing& before) const;
  Result<void> ForgetDeparted(const plan::ServicePortKey& key);
  Result<void> ForgetOthers(const std::string& map, const std::set<Target>& stay);
  void ForgetOrOwe(const plan::ServicePortKey& key);

  // The whole (resync.cc).
  Result<void> Resync();
  Result<void> SyncWhole();
  Result<void> Install();
  Result<void> Replace();
  Result<void> Repair(const Sight& sight);
  Result<size_t> CompareElements();
  Result<void> Fill();
  Result<void> SendAll(std::vector<nftables::Write> writes);
  std::string RulesScript() const;
  Result<void> RemoveUnused();
  Result<void> FullPass(bool touched);
  bool NeedsNoLook(uint32_t generation, bool touched);
  Result<void> PayOwed();

  Kernel& kernel_;
  const netfilter::NetfilterOptions options_;
  const Wording wording_;
  Ledger ledger_;
  plan::NodePlan node_;
  bool committed_ = false;
  bool pruned_ = false;

  std::set<Chain> chains_;                           // that stand
  std::map<plan::ServicePortKey, Sticky> stickies_;  // that stand
  // An earlier run's, of frontends the plan does not have, by OwnerOf: until Prune, or until it does.
  std::unordered_map<uint64_t, std::vector<Element>> leftovers_;
  std::set<plan::ServicePortKey> owed_;  // whose clients of departed backends are still remembered
  std::optional<uint32_t> generation_;   // after our last transaction, if nobody else made one
  std::optional<uint64_t> digest_;       // of the rules, as we left them
  bool untidy_ = true;                   // there may be chains that nothing leads to
  bool touched_ = false;                 // by somebody else, and not looked at yet
  uint32_t unread_ = 0;                  // full passes by the kernel's word alone
  Clock::time_point full_pass_at_{};
  Clock::time_point heal_at_{};                    // not before
  std::string last_error_;                         // of a full pass, as logged
  std::string trouble_;                            // what the last full pass could not write, as logged
  std::map<plan::ServicePortKey, Error> refused_;  // what the last look at the whole could not write
  Counts counts_;
};

}  // namespace fairlead::nftables
