// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/writer.h"

#include <algorithm>
#include <ranges>
#include <unordered_set>
#include <utility>

#include "agent/base/log.h"
#include "agent/datapath/nftables/script.h"

namespace fairlead::nftables {

namespace {

// The kernel's word for a table that is not as we left it.
bool TellsOfTampering(const Error& error) {
  return error.code == ENOENT || error.code == EEXIST || error.code == EBUSY;
}

}  // namespace

Writer::Writer(Kernel& kernel, const netfilter::NetfilterOptions& options)
    : kernel_(kernel), options_(options), wording_{options.mark, options.local_traffic} {}

// A transaction of ours is one step of the generation; where somebody else's comes between, they differ from
// then on.
Result<void> Writer::Run(const std::string& script) {
  digest_.reset();
  return Counted(kernel_.Run(script));
}

Result<void> Writer::Counted(Result<void> transaction) {
  if (!transaction) {
    ++counts_.failures;
  } else if (generation_) {
    ++*generation_;
  }
  return transaction;
}

// What a script has made the chains for.
Result<void> Writer::Rewrite(const std::set<Chain>& chains,
                             const std::map<plan::ServicePortKey, Sticky>& stickies) {
  std::vector<MapRule> rules;
  for (const Chain& chain : chains) std::ranges::move(chain.MapRules(), std::back_inserter(rules));
  for (const auto& [key, sticky] : stickies) std::ranges::move(sticky.MapRules(), std::back_inserter(rules));
  if (rules.empty()) return {};
  digest_.reset();
  return Counted(kernel_.Rewrite(rules));
}

Result<std::vector<Refusal>> Writer::Send(std::span<const nftables::Write> writes) {
  if (writes.empty()) return std::vector<Refusal>{};
  auto sent = kernel_.Commit(writes);
  if (!sent || !sent->empty()) {
    ++counts_.failures;
    ++counts_.partial_failures;
    return sent;
  }
  counts_.written = writes.size();
  if (generation_) ++*generation_;
  return sent;
}

std::vector<datapath::Failure> Writer::Apply(std::span<const plan::Change> changes) {
  std::vector<plan::Change> ours;
  for (const plan::Change& change : changes) {
    const bool sctp = change.key.protocol == plan::Protocol::kSctp;
    if (sctp || options_.serves == netfilter::Serves::kAll) ours.push_back(change);
  }
  if (!committed_) {
    ledger_.Take(ours);
    return {};
  }
  std::vector<datapath::Failure> failures = ApplyToRefused(ours);
  std::ranges::move(Write(std::move(ours), false), std::back_inserter(failures));
  return failures;
}

// What was refused with the whole stands in the ledger alone, so its change is a matter of the whole again.
// Takes such changes out of `changes`.
std::vector<datapath::Failure> Writer::ApplyToRefused(std::vector<plan::Change>& changes) {
  std::vector<plan::Change> known;
  for (const plan::Change& change : changes) {
    if (refused_.contains(change.key)) known.push_back(change);
  }
  if (known.empty()) return {};
  std::erase_if(changes, [&](const plan::Change& change) { return refused_.contains(change.key); });
  ledger_.Take(known);
  digest_.reset();  // they may need chains that are not there
  auto synced = Resync();
  std::vector<datapath::Failure> failures;
  for (const plan::Change& change : known) {
    if (!synced) refused_.insert_or_assign(change.key, synced.error());
    const auto still = refused_.find(change.key);
    if (still == refused_.end()) continue;
    failures.push_back({change, Error(still->second).In(change.key.ToString())});
  }
  return failures;
}

// All in one transaction, but for those it cannot be made with.
std::vector<datapath::Failure> Writer::Write(std::vector<plan::Change> changes, bool healed) {
  std::vector<datapath::Failure> failures = MakeChains(changes);
  while (!changes.empty()) {
    Ledger::Draft draft = ledger_.Try(changes);
    ReplaceLeftovers(draft.writes);
    auto sent = Send(draft.writes);
    if (sent && sent->empty()) {
      Keep(draft);
      return failures;
    }
    // Somebody has written to our table: first as it was, then the changes.
    const Error first = sent ? sent->front().error : sent.error();
    if (!std::exchange(healed, true) && TellsOfTampering(first) && Resync()) {
      std::ranges::move(MakeChains(changes), std::back_inserter(failures));
      continue;
    }
    std::set<size_t> refused;
    for (const Refusal& refusal : sent ? *sent : std::vector<Refusal>{}) {
      if (refusal.group >= changes.size() || !refused.insert(refusal.group).second) continue;
      const plan::Change& change = changes[refusal.group];
      failures.push_back({change, Error(refusal.error).In(change.key.ToString())});
    }
    if (refused.empty()) {
      std::ranges::move(WriteHalves(changes, first), std::back_inserter(failures));
      return failures;
    }
    for (size_t group : refused | std::views::reverse)
      changes.erase(changes.begin() + static_cast<long>(group));
  }
  return failures;
}

// An error that is nobody's: who it comes with is found by halving.
std::vector<datapath::Failure> Writer::WriteHalves(const std::vector<plan::Change>& changes,
                                                   const Error& error) {
  std::vector<datapath::Failure> failures;
  if (changes.size() == 1) {
    failures.push_back({changes[0], Error(error).In(changes[0].key.ToString())});
    return failures;
  }
  const auto middle = changes.begin() + static_cast<long>(changes.size() / 2);
  for (auto [begin, end] : {std::pair(changes.begin(), middle), std::pair(middle, changes.end())}) {
    std::ranges::move(Write(std::vector<plan::Change>(begin, end), true), std::back_inserter(failures));
  }
  return failures;
}

void Writer::Keep(const Ledger::Draft& draft) {
  std::vector<Standing> remembered;  // as they stood
  for (const auto& [key, standing] : draft.become) {
    auto stood = ledger_.ports().find(key);
    if (stood != ledger_.ports().end() && stood->second.port->affinity_timeout_s != 0)
      remembered.push_back(stood->second);
  }
  ledger_.Keep(draft);
  untidy_ = true;
  for (const Standing& stood : remembered) {
    if (HasDeparted(stood)) ForgetOrOwe(stood.port->key);
  }
  Settle(draft);
}

// Adds what the change needs and is not there yet; false if there is nothing.
bool Writer::HasChains(const plan::Change& change, std::set<Chain>& chains,
                       std::map<plan::ServicePortKey, Sticky>& stickies) const {
  if (!change.now) return true;
  std::set<Chain> needed;
  AddChains(Standing::Of(change.now, nullptr), needed);
  std::erase_if(needed, [&](const Chain& chain) { return chains_.contains(chain); });
  bool has = needed.empty();
  chains.merge(needed);
  if (auto sticky = StickyOf(*change.now)) {
    auto stands = stickies_.find(change.key);
    const bool same = stands != stickies_.end() && stands->second == *sticky;
    if (!same) stickies[change.key] = *sticky;
    has &= same;
  }
  return has;
}

// What the changes lead to and is not there yet; nothing leads there before their elements do. If it cannot
// be had, those that need it are the failures, and no changes any more.
std::vector<datapath::Failure> Writer::MakeChains(std::vector<plan::Change>& changes) {
  std::set<Chain> chains;
  std::map<plan::ServicePortKey, Sticky> stickies;
  std::vector<bool> needy;
  for (const plan::Change& change : changes) needy.push_back(!HasChains(change, chains, stickies));
  std::string script;
  for (const Chain& chain : chains) script += AddChain(chain.Name());
  for (const Chain& chain : chains) script += ChainScript(chain, wording_);
  for (const auto& [key, sticky] : stickies) script += sticky.Script(wording_);
  if (script.empty()) return {};
  auto ran = Run(script);
  // Into a table that is gone or empty: the whole is made, with what these need.
  if (!ran && ran.error().kind != ErrorKind::kNotFound && Resync()) ran = Run(script);
  if (ran) ran = Rewrite(chains, stickies);
  if (ran) {
    chains_.merge(chains);
    for (auto& [key, sticky] : stickies) stickies_.insert_or_assign(key, std::move(sticky));
    return {};
  }
  std::vector<datapath::Failure> failures;
  std::vector<plan::Change> others;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (needy[i]) {
      failures.push_back({changes[i], Error(ran.error()).In(changes[i].key.ToString())});
    } else {
      others.push_back(std::move(changes[i]));
    }
  }
  changes = std::move(others);
  return failures;
}

// Where an earlier run has left something of a frontend that now comes, that goes in the same transaction, or
// stays as what is wanted.
void Writer::ReplaceLeftovers(std::vector<nftables::Write>& writes) const {
  if (leftovers_.empty()) return;
  std::unordered_map<uint64_t, size_t> groups;  // of owners
  for (const nftables::Write& write : writes) {
    const uint64_t owner = OwnerOf(write.element);
    if (write.add && leftovers_.contains(owner)) groups.emplace(owner, write.group);
  }
  std::unordered_set<uint64_t> left;
  for (const auto& [owner, group] : groups) {
    for (const Element& element : leftovers_.at(owner)) left.insert(DigestOf(element).content);
  }
  std::erase_if(writes, [&](const nftables::Write& write) {
    return write.add && left.erase(DigestOf(write.element).content) > 0;
  });
  std::vector<nftables::Write> deletions;
  for (const auto& [owner, group] : groups) {
    for (const Element& element : leftovers_.at(owner)) {
      if (left.contains(DigestOf(element).content)) deletions.push_back({false, group, element});
    }
  }
  writes.insert(writes.begin(), deletions.begin(), deletions.end());
}

// After the elements: what is owned now is nobody's leftover, and affinity that nothing leads to goes.
void Writer::Settle(const Ledger::Draft& draft) {
  if (!leftovers_.empty()) {
    for (const auto& [key, standing] : draft.become) {
      for (const Element& element : OwnElements(standing)) leftovers_.erase(OwnerOf(element));
      for (const Element& element : SharedElements(standing)) leftovers_.erase(OwnerOf(element));
    }
  }
  RemoveSticky(draft);
}

void Writer::RemoveSticky(const Ledger::Draft& draft) {
  std::set<plan::ServicePortKey> gone = draft.go;
  for (const auto& [key, standing] : draft.become) {
    if (standing.port->affinity_timeout_s == 0) gone.insert(key);
  }
  std::string script;
  for (const plan::ServicePortKey& key : gone) {
    auto stands = stickies_.find(key);
    if (stands == stickies_.end()) continue;
    script += stands->second.RemovalScript();
    stickies_.erase(stands);
  }
  if (script.empty()) return;
  if (auto ran = Run(script); !ran) {
    ++counts_.cleanup_failures;
    spdlog::warn("{}; it goes with the next full pass", ran.error().message);
    full_pass_at_ = {};
  }
}

// Whether a backend is gone from a list that clients may be remembered to be led by. `before`: as it stood.
bool Writer::HasDeparted(const Standing& before) const {
  const Standing& now = ledger_.ports().at(before.port->key);
  return !std::ranges::includes(TargetsOf(now.cluster), TargetsOf(before.cluster)) ||
         !std::ranges::includes(TargetsOf(now.local), TargetsOf(before.local));
}

// Clients that are remembered to have a backend that has left the list.
Result<void> Writer::ForgetDeparted(const plan::ServicePortKey& key) {
  auto stands = ledger_.ports().find(key);
  if (stands == ledger_.ports().end()) return {};
  const auto sticky = StickyOf(*stands->second.port);
  if (!sticky) return {};
  if (sticky->cluster) {
    auto forgot = ForgetOthers(sticky->Map(false), TargetsOf(stands->second.cluster));
    if (!forgot) return forgot;
  }
  if (!sticky->local) return {};
  return ForgetOthers(sticky->Map(true), TargetsOf(stands->second.local));
}

Result<void> Writer::ForgetOthers(const std::string& map, const std::set<Target>& stay) {
  std::set<Bytes> values;
  for (const Target& target : stay) values.insert(Bytes().Add(target.address).AddPort(target.port));
  auto clients = kernel_.Clients(map);
  if (!clients) return std::unexpected(std::move(clients.error()));
  std::vector<Bytes> stale;
  for (const Remembered& remembered : *clients) {
    if (!values.contains(remembered.backend)) stale.push_back(remembered.client);
  }
  auto forgot = kernel_.Forget(map, stale);
  if (!forgot) return std::unexpected(std::move(forgot.error()));
  if (generation_) *generation_ += *forgot;
  return {};
}

// A client that comes again renews its entry, so it would stay with a backend that is gone: what fails is
// tried until it succeeds.
void Writer::ForgetOrOwe(const plan::ServicePortKey& key) {
  auto forgot = ForgetDeparted(key);
  if (forgot) {
    owed_.erase(key);
    return;
  }
  ++counts_.cleanup_failures;
  spdlog::warn("{}: {}; clients of removed backends are forgotten later", key.ToString(),
               forgot.error().message);
  owed_.insert(key);
  full_pass_at_ = {};
}

Result<void> Writer::ApplyNode(const plan::NodePlan& node) {
  if (committed_ && node == node_) return {};
  node_ = node;
  if (!committed_) return {};
  auto ran = Run(NodeScript(node_));
  if (!ran) full_pass_at_ = {};
  return ran;
}

}  // namespace fairlead::nftables
