// SPDX-License-Identifier: Apache-2.0
// One family's rules: as they should be, and the kernel's made equal to them. One thread.
//
// A write that failed leaves its chains owed: they are written again with the next one, whatever became of
// them. So no failure needs a look at what stands, but for jumps. A chain that ends while a rule of somebody
// else's leads to it stays, empty, until that rule is gone.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/datapath.h"
#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/iptables/fingerprint.h"
#include "agent/datapath/iptables/restore.h"
#include "agent/datapath/iptables/ruleset.h"
#include "agent/datapath/iptables/saved.h"

namespace fairlead::iptables {

struct TableCounts {
  std::array<uint64_t, 2> rules{}, written{};  // by Table
  uint64_t failures = 0, partial_failures = 0;
  uint64_t bytes = 0;
};

class Tables {
 public:
  using Clock = std::chrono::steady_clock;

  // `watch` may be null: then only a full comparison finds what others have done.
  Tables(Run run, const Backend& backend, Family family, const netfilter::NetfilterOptions& options,
         std::shared_ptr<Watch> watch);

  // Before Commit these only gather.
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes);
  Result<void> ApplyNode(const plan::NodePlan& node);

  // A Service whose rules are refused stays out, is reported and tried again; the others are served.
  Result<void> Commit();
  Result<void> Prune();
  // Puts right what others have done, writes what is owed. When it wants to be called again.
  std::optional<Clock::time_point> Reconcile(Clock::time_point now);

  // Before Commit.
  void KeepGuard() { rules_.KeepGuard(); }

  // An empty chain of table filter that says something by being there, also to a later run.
  bool HasNote(std::string_view chain) const;
  Result<void> SetNote(std::string_view chain, bool there);

  bool committed() const { return committed_; }
  std::vector<datapath::Refusal> Refused() const;
  const Ruleset& rules() const { return rules_; }
  TableCounts counts() const;

 private:
  using SavedTables = std::array<Saved, 2>;

  Result<SavedTables> Read() const;
  void KeepEarlier(const SavedTables& saved);
  Edit Difference(const SavedTables& saved);
  bool Same(Table table, const std::string& chain, const std::string& stands, const std::string& want);
  void Learn();
  std::expected<void, RestoreError> Send(std::string_view text);
  std::expected<RestoreText, RestoreError> SendEdit(const Edit& edit);
  std::expected<void, RestoreError> Write(Edit edit, bool partial);
  void DeleteEmptied();
  Result<void> MakeEqual(std::string_view why);
  void ScheduleComparison(Clock::duration took, bool found);
  Result<void> WriteChanged();
  // Of single changes, tried by halves.
  struct Tries {
    int refusals = 0;
    std::optional<Error> unable;  // which says nothing of the changes; the rest is not tried
    std::vector<datapath::Failure> failures;
  };
  void Try(std::span<const plan::Change> changes, Tries& tries);
  Result<void> CommitOneByOne();
  void TryRefused(Clock::time_point now);
  void KeepRefused(std::vector<datapath::Failure> failures);
  void Look(Clock::time_point now);
  void Owe(ChainNames names);

  Run run_;
  Backend backend_;
  netfilter::NetfilterOptions options_;
  Ruleset rules_;
  std::shared_ptr<Watch> watch_;

  // Hashes of texts that are the same rules though they differ, by chain: as printed, and as written.
  using Texts = std::map<std::string, std::pair<size_t, size_t>>;
  std::array<Texts, 2> alike_;
  std::array<Texts, 2> suspects_;  // of the last comparison: what stood, and what is written in its place

  bool committed_ = false;
  ChainNames owed_;                                            // written, or not: not known
  ChainNames emptied_;                                         // of ours no more, and to be deleted
  bool unsure_ = false;                                        // which jumps stand
  std::map<plan::ServicePortKey, datapath::Failure> refused_;  // at Commit
  bool leftovers_ = false;                                     // Commit found what an earlier run left
  // A comparison is due, and may be made though one found nothing just before.
  Clock::time_point compare_at_{}, compare_from_{};
  Clock::time_point look_at_{}, retry_at_{};
  std::string last_error_;
  TableCounts counts_;
};

}  // namespace fairlead::iptables
