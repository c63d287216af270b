// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/tables.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "agent/base/log.h"

namespace fairlead::iptables {

namespace {

using datapath::Failure;
using plan::Change;

constexpr std::chrono::seconds kLook{1};               // between looks at the fingerprint
constexpr std::chrono::seconds kLookAfterFailure{10};  // waiting for a lock takes half of that
constexpr int kCompareShare = 20;       // comparing takes at most one part of so many of the time
constexpr int kExactCompareEvery = 10;  // sync periods, where the fingerprint misses nothing
constexpr int kMostRefusals = 8;        // of single changes in one call; then it is not the changes

// "FAIRLEAD-SERVICES of nat, 2 more chains, a jump from PREROUTING"
std::string InWords(const Edit& edit) {
  constexpr size_t kNamed = 3;
  std::vector<std::string> words;
  size_t chains = 0;
  for (Table table : kTables) {
    for (const std::string& chain : edit.chains[static_cast<size_t>(table)]) {
      if (++chains <= kNamed) words.push_back(fmt::format("{} of {}", chain, TableName(table)));
    }
  }
  if (chains > kNamed) words.push_back(fmt::format("{} more chains", chains - kNamed));
  std::set<std::string> hooks;
  for (const auto* jumps : {&edit.missing, &edit.surplus}) {
    for (const Jump& jump : *jumps)
      hooks.insert(fmt::format("jumps from {} of {}", jump.from, TableName(jump.table)));
  }
  words.insert(words.end(), hooks.begin(), hooks.end());
  return fmt::format("{}", fmt::join(words, ", "));
}

bool IsEmpty(const ChainNames& names) {
  return std::ranges::all_of(names, [](const auto& of_table) { return of_table.empty(); });
}

}  // namespace

Tables::Tables(Run run, const Backend& backend, Family family, const netfilter::NetfilterOptions& options,
               std::shared_ptr<Watch> watch)
    : run_(std::move(run)),
      backend_(backend),
      options_(options),
      rules_(family, options),
      watch_(std::move(watch)) {}

// --- writing

std::expected<void, RestoreError> Tables::Send(std::string_view text) {
  if (watch_) watch_->BeforeWrite();
  auto sent = Restore(run_, backend_, rules_.family(), text);
  if (watch_) watch_->AfterWrite();
  return sent;
}

// What ends is deleted in the same transaction where it can be, so that a Service that goes costs one. Jumps
// are written once only, and so never with what may be refused for the sake of others' rules.
std::expected<RestoreText, RestoreError> Tables::SendEdit(const Edit& edit) {
  const bool jumps = !edit.missing.empty() || !edit.surplus.empty();
  RestoreText restore = RenderRestore(edit, rules_, jumps ? Ends::kEmptied : Ends::kDeleted);
  auto sent = Send(restore.text);
  const bool deletes = !jumps && !IsEmpty(restore.gone);
  if (!sent && sent.error().refused && deletes) {
    restore = RenderRestore(edit, rules_, Ends::kEmptied);
    sent = Send(restore.text);
  } else if (deletes) {
    restore.gone = {};
  }
  if (!sent) return std::unexpected(std::move(sent.error()));
  return restore;
}

std::expected<void, RestoreError> Tables::Write(Edit edit, bool partial) {
  for (size_t i = 0; i < owed_.size(); ++i) edit.chains[i].insert(owed_[i].begin(), owed_[i].end());
  if (edit.empty()) return {};
  auto written = SendEdit(edit);
  if (!written) {
    owed_ = std::move(edit.chains);
    unsure_ |= !edit.missing.empty() || !edit.surplus.empty();
    suspects_ = {};
    ++counts_.failures;
    counts_.partial_failures += partial ? 1 : 0;
    return std::unexpected(std::move(written.error()));
  }
  owed_ = {};
  counts_.written = written->rules;
  counts_.bytes += written->text.size();
  for (size_t i = 0; i < emptied_.size(); ++i) emptied_[i].merge(written->gone[i]);
  Learn();
  return {};
}

// All of them at once; where that is refused, each alone.
void Tables::DeleteEmptied() {
  for (Table table : kTables) {
    std::erase_if(emptied_[static_cast<size_t>(table)],
                  [&](const std::string& chain) { return rules_.chains(table).contains(chain); });
  }
  if (IsEmpty(emptied_)) return;
  if (Send(RenderDeletion(emptied_))) {
    emptied_ = {};
    return;
  }
  int refusals = 0;
  for (size_t i = 0; i < emptied_.size(); ++i) {
    std::erase_if(emptied_[i], [&](const std::string& chain) {
      if (refusals >= kMostRefusals) return false;
      ChainNames alone;
      alone[i].insert(chain);
      const bool deleted = Send(RenderDeletion(alone)).has_value();
      refusals += deleted ? 0 : 1;
      return deleted;
    });
  }
}

// Compares all of it, and writes what differs.
Result<void> Tables::MakeEqual(std::string_view why) {
  const auto began = Clock::now();
  auto saved = Read();
  if (!saved) return std::unexpected(std::move(saved.error()));
  Edit edit = Difference(*saved);
  if (!why.empty() && !edit.empty()) {
    spdlog::warn("iptables {}: {}: {}; put right", FamilyName(rules_.family()), why, InWords(edit));
  }
  const bool found = !edit.empty();
  auto written = Write(std::move(edit), false);
  if (written) {
    unsure_ = false;
    DeleteEmptied();
  }
  ScheduleComparison(Clock::now() - began, found);
  if (!written) return std::unexpected(std::move(written.error().error));
  return {};
}

// Where others change rules of their own all the time, most looks find ours untouched: they take at most one
// part of kCompareShare of the time.
void Tables::ScheduleComparison(Clock::duration took, bool found) {
  const auto now = Clock::now();
  compare_from_ = found ? now : now + took * kCompareShare;
  compare_at_ = now + std::max<Clock::duration>(options_.sync_period, took * kCompareShare) *
                          (watch_ && watch_->exact() ? kExactCompareEvery : 1);
}

// --- the plan

std::vector<Failure> Tables::Apply(std::span<const Change> changes) {
  for (const Change& change : changes) refused_.erase(change.key);
  if (!committed_) {
    for (const Change& change : changes) rules_.Set(change.key, change.now);
    return {};
  }
  Tries tries;
  Try(changes, tries);
  return std::move(tries.failures);
}

// What one bad change makes the kernel refuse is tried again by halves, until that one is alone.
void Tables::Try(std::span<const Change> changes, Tries& tries) {
  if (changes.empty()) return;
  auto fail = [&](const Error& error) {
    for (const Change& change : changes)
      tries.failures.push_back({change, Error(error).In("rules of " + change.key.ToString())});
  };
  if (tries.unable) return fail(*tries.unable);
  std::vector<Change> before;
  for (const Change& change : changes) before.push_back({change.key, rules_.Set(change.key, change.now)});
  auto written = Write({.chains = rules_.TakeChanged(), .missing = {}, .surplus = {}}, true);
  if (written) return;
  for (const Change& change : before) rules_.Set(change.key, change.now);
  Owe(rules_.TakeChanged());
  RestoreError& error = written.error();
  if (error.refused && changes.size() > 1 && tries.refusals < kMostRefusals) {
    const size_t half = changes.size() / 2;
    Try(changes.first(half), tries);
    return Try(changes.subspan(half), tries);
  }
  tries.refusals += error.refused ? 1 : 0;
  if (!error.refused) tries.unable = error.error;
  fail(error.error);
}

Result<void> Tables::ApplyNode(const plan::NodePlan& node) {
  const std::vector<Jump> before = rules_.jumps();
  rules_.SetNode(node);
  if (!committed_) return {};
  if (unsure_ || rules_.jumps() != before) {
    unsure_ = true;
    return MakeEqual("");
  }
  return WriteChanged();
}

Result<void> Tables::WriteChanged() {
  auto written = Write({.chains = rules_.TakeChanged(), .missing = {}, .surplus = {}}, false);
  if (!written) return std::unexpected(std::move(written.error().error));
  return {};
}

bool Tables::HasNote(std::string_view chain) const {
  return rules_.chains(Table::kFilter).contains(std::string(chain));
}

Result<void> Tables::SetNote(std::string_view chain, bool there) {
  rules_.SetNote(chain, there);
  return WriteChanged();
}

Result<void> Tables::Commit() {
  if (watch_) watch_->TakeTouched(rules_.family());  // whoever touches them from here on is looked after
  auto saved = Read();
  if (!saved) return std::unexpected(std::move(saved.error()));
  KeepEarlier(*saved);
  leftovers_ = !(*saved)[0].chains.empty() || !(*saved)[1].chains.empty();
  if (!leftovers_) rules_.ForgetEarlier();
  auto written = Write(Difference(*saved), false);
  if (!written && !written.error().refused) return std::unexpected(std::move(written.error().error));
  if (!written) {
    if (auto rest = CommitOneByOne(); !rest) return rest;
  }
  committed_ = true;
  unsure_ = false;
  ScheduleComparison({}, true);
  return {};
}

// Somebody's rules are refused: the chains of all first, then the Services, by halves.
Result<void> Tables::CommitOneByOne() {
  auto saved = Read();  // again: one of the tables may have been written
  if (!saved) return std::unexpected(std::move(saved.error()));
  std::vector<Change> changes;
  for (const auto& [key, service] : rules_.services()) changes.push_back({key, service});
  for (const Change& change : changes) rules_.Set(change.key, nullptr);
  if (leftovers_) KeepEarlier(*saved);
  auto written = Write(Difference(*saved), false);
  if (!written) {
    for (const Change& change : changes) rules_.Set(change.key, change.now);
    return std::unexpected(std::move(written.error().error));
  }
  Tries tries;
  Try(changes, tries);
  if (tries.unable) {
    for (const Change& change : changes) rules_.Set(change.key, change.now);
    return std::unexpected(std::move(*tries.unable));
  }
  for (const Failure& failure : tries.failures) {
    spdlog::error("{}; tried again every {} s", failure.error.message,
                  std::chrono::duration<double>(options_.sync_period).count());
  }
  KeepRefused(std::move(tries.failures));
  retry_at_ = Clock::now() + options_.sync_period;
  return {};
}

Result<void> Tables::Prune() {
  rules_.ForgetEarlier();
  if (!leftovers_ && !unsure_) return {};
  auto pruned = MakeEqual("");
  leftovers_ = !pruned;
  return pruned;
}

// --- what others do

std::optional<Tables::Clock::time_point> Tables::Reconcile(Clock::time_point now) {
  if (!committed_) return std::nullopt;
  if (now >= look_at_) {
    look_at_ = now + kLook;
    Look(now);
  }
  if (!refused_.empty() && now >= retry_at_) TryRefused(now);
  return look_at_;
}

void Tables::Look(Clock::time_point now) {
  const bool touched = watch_ && now >= compare_from_ && watch_->TakeTouched(rules_.family());
  Result<void> done;
  if (touched || unsure_ || now >= compare_at_) {
    done = MakeEqual(touched ? "somebody changed our rules" : "our rules are not what they should be");
  } else if (!owed_[0].empty() || !owed_[1].empty()) {
    if (auto written = Write({}, false); !written) done = std::unexpected(std::move(written.error().error));
  }
  if (!done) {
    unsure_ = true;  // the watch says only once that somebody touched them
    look_at_ = Clock::now() + kLookAfterFailure;
  }
  const std::string error = done ? "" : std::move(done.error().message);
  if (!error.empty() && error != last_error_) spdlog::error("{}; trying again", error);
  last_error_ = error;
}

void Tables::TryRefused(Clock::time_point now) {
  retry_at_ = now + options_.sync_period;
  std::vector<Change> changes;
  for (const auto& [key, failure] : refused_) changes.push_back(failure.change);
  refused_.clear();
  Tries tries;
  Try(changes, tries);
  if (tries.unable) retry_at_ = now + kLookAfterFailure;
  KeepRefused(std::move(tries.failures));
}

void Tables::KeepRefused(std::vector<Failure> failures) {
  for (Failure& failure : failures) {
    const plan::ServicePortKey key = failure.change.key;
    refused_.insert_or_assign(key, std::move(failure));
  }
}

std::vector<datapath::Refusal> Tables::Refused() const {
  std::vector<datapath::Refusal> refusals;
  for (const auto& [key, failure] : refused_) refusals.push_back({key, failure.error});
  return refusals;
}

// --- what is said of them

TableCounts Tables::counts() const {
  TableCounts counts = counts_;
  for (Table table : kTables) counts.rules[static_cast<size_t>(table)] = rules_.rules(table);
  return counts;
}

void Tables::Owe(ChainNames names) {
  for (size_t i = 0; i < owed_.size(); ++i) owed_[i].merge(names[i]);
}

}  // namespace fairlead::iptables
