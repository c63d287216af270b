// SPDX-License-Identifier: Apache-2.0
// The whole table: made, taken over, compared, put right.
#include <algorithm>
#include <unordered_set>
#include <utility>

#include <fmt/ranges.h>

#include "agent/base/log.h"
#include "agent/datapath/nftables/script.h"
#include "agent/datapath/nftables/writer.h"

namespace fairlead::nftables {

namespace {

// Elements in one transaction while nothing leads to them yet.
constexpr size_t kFillChunk = 16384;
constexpr size_t kLineChunk = 512;  // elements of one command
constexpr std::chrono::seconds kRetry{5};
// Somebody who writes to our table again and again is answered at this pace.
constexpr std::chrono::seconds kHealPause{1};
constexpr uint32_t kUnread = 9;

constexpr Family kBoth[] = {Family::kIpv4, Family::kIpv6};

}  // namespace

// Everything but sets, elements and hooks.
std::string Writer::RulesScript() const {
  std::string script = ChainsScript(options_.serves);
  for (const Chain& chain : chains_) script += AddChain(chain.Name());
  for (const Chain& chain : chains_) script += ChainScript(chain, wording_);
  for (const auto& [key, sticky] : stickies_) script += sticky.Script(wording_);
  return script + NodeScript(node_);
}

Result<void> Writer::Commit() {
  // All that was written up to here is about to be read.
  kernel_.Touched();
  auto synced = Resync();
  committed_ = synced.has_value();
  return synced;
}

// One that was cut short says nothing of what stands: what was refused is, and the next pass looks again.
Result<void> Writer::Resync() {
  auto refused = std::exchange(refused_, {});
  auto synced = SyncWhole();
  if (synced) return synced;
  refused_.merge(refused);
  generation_.reset();
  return synced;
}

Result<void> Writer::SyncWhole() {
  auto generation = kernel_.Generation();
  if (!generation) return std::unexpected(generation.error());
  generation_ = *generation;
  auto sight = kernel_.Look();
  if (!sight) return std::unexpected(sight.error());
  chains_.merge(ledger_.Chains());
  std::map<plan::ServicePortKey, Sticky> stickies;
  for (const auto& [key, standing] : ledger_.ports()) {
    if (auto sticky = StickyOf(*standing.port)) stickies[key] = *sticky;
  }
  stickies_ = std::move(stickies);
  if (sight->table && sight->chains.contains(SchemaChain())) return Repair(*sight);
  leftovers_.clear();
  chains_ = ledger_.Chains();
  // Without a hook nobody is served by it yet.
  const bool serves = sight->table && sight->chains.contains("prerouting");
  if (serves) {
    spdlog::info("table inet {}: made by a release whose elements mean something else; replaced", kTable);
    return Replace();
  }
  if (sight->table) {
    digest_.reset();
    if (auto removed = Counted(kernel_.RemoveTable()); !removed) return removed;
  }
  if (committed_) spdlog::warn("table inet {}: somebody else had removed it; made anew", kTable);
  return Install();
}

// Nothing leads to the elements until the hooks come, so they need no transaction of their own.
Result<void> Writer::Install() {
  if (auto ran = Run(SetsScript() + RulesScript()); !ran) return ran;
  if (auto added = Rewrite(chains_, stickies_); !added) return added;
  if (auto filled = Fill(); !filled) return filled;
  return Run(HooksScript(wording_, options_.serves));
}

Result<void> Writer::Fill() {
  std::vector<nftables::Write> chunk;
  Result<void> sent;
  ledger_.ForEach([&](size_t port, Element element) {
    if (!sent) return;
    if (chunk.size() >= kFillChunk && (chunk.empty() || chunk.back().group != port))
      sent = SendAll(std::exchange(chunk, {}));
    chunk.push_back({true, port, std::move(element)});
  });
  if (sent) sent = SendAll(std::move(chunk));
  return sent;
}

// Those of service ports the kernel refuses are left out, and tried again with the next full pass.
Result<void> Writer::SendAll(std::vector<nftables::Write> writes) {
  for (;;) {
    auto sent = Send(writes);
    if (!sent) return std::unexpected(sent.error());
    if (sent->empty()) return {};
    std::set<size_t> refused;
    auto key_of = [&](size_t port) {
      const auto& ports = ledger_.ports();
      return port < ports.size() ? &std::next(ports.begin(), static_cast<long>(port))->first : nullptr;
    };
    for (const Refusal& refusal : *sent) {
      refused.insert(refusal.group);
      if (const auto* key = key_of(refusal.group)) refused_.insert_or_assign(*key, refusal.error);
    }
    const auto* first = key_of(sent->front().group);
    const std::string trouble = fmt::format(
        "{}: {}", first ? first->ToString() : "an element of several Services", sent->front().error.message);
    if (trouble_ != trouble) spdlog::error("{}; tried again with the next full pass", trouble);
    trouble_ = trouble;
    std::erase_if(writes, [&](const nftables::Write& write) { return refused.contains(write.group); });
  }
}

// The old table and the new one in one transaction, all of it as text: at no moment is there none. What nft
// does not take comes after; until then no client is remembered.
Result<void> Writer::Replace() {
  std::string script = std::string(kDeleteTable) + SetsScript() + RulesScript();
  std::vector<MapRule> rules;
  for (const Chain& chain : chains_) std::ranges::move(chain.MapRules(), std::back_inserter(rules));
  for (const auto& [key, sticky] : stickies_) std::ranges::move(sticky.MapRules(), std::back_inserter(rules));
  for (const MapRule& rule : rules) {
    if (rule.kind != MapRule::Kind::kRemember) script += AddRule(rule.chain, rule.ToText());
  }
  std::map<std::pair<Set, Family>, std::vector<std::string>> lines;
  auto flush = [&](std::pair<Set, Family> set, std::vector<std::string>& elements) {
    if (elements.empty()) return;
    script += fmt::format("add element inet {} {} {{ {} }}\n", kTable, SetName(set.first, set.second),
                          fmt::join(elements, ", "));
    elements.clear();
  };
  ledger_.ForEach([&](size_t, const Element& element) {
    const std::pair set(element.set, element.family);
    std::vector<std::string>& elements = lines[set];
    elements.push_back(ToText(element));
    if (elements.size() >= kLineChunk) flush(set, elements);
  });
  for (auto& [set, elements] : lines) flush(set, elements);
  if (auto ran = Run(script + HooksScript(wording_, options_.serves)); !ran) return ran;
  return Rewrite(chains_, stickies_);
}

// The rules anew, the elements where they differ. Clients keep their backends: affinity's maps are left.
Result<void> Writer::Repair(const Sight& sight) {
  const bool rules_changed = digest_ && *digest_ != sight.digest;
  if (!digest_ || rules_changed) {
    auto ran = Run(SetsScript() + RulesScript() + HooksScript(wording_, options_.serves));
    if (ran) ran = Rewrite(chains_, stickies_);
    if (!ran) return ran;
  }
  auto compared = CompareElements();
  if (!compared) return std::unexpected(compared.error());
  for (const auto& [key, sticky] : stickies_) ForgetOrOwe(key);
  if (!committed_) {
    spdlog::info("table inet {}: taken over; {} elements differed", kTable, *compared);
  } else if (*compared > 0 || rules_changed) {
    spdlog::warn("table inet {}: somebody else had written to it; put right: {}{} elements", kTable,
                 rules_changed ? "its rules, and " : "", *compared);
  }
  return {};
}

// Reads every set and writes the differences in one transaction; how many there were.
Result<size_t> Writer::CompareElements() {
  std::unordered_map<uint64_t, uint64_t> wanted;  // place -> content
  std::unordered_set<uint64_t> owners;            // of these
  ledger_.ForEach([&](size_t, const Element& element) {
    const Digest digest = DigestOf(element);
    wanted.emplace(digest.place, digest.content);
    owners.insert(OwnerOf(element));
  });
  std::unordered_map<uint64_t, Element> others;  // by place: what stands and is not wanted so
  std::unordered_map<uint64_t, bool> right;      // by place: a dump that is taken again shows it twice
  for (size_t set = 0; set < kSets; ++set) {
    for (Family family : kBoth) {
      auto dumped = kernel_.ForEach(static_cast<Set>(set), family, [&](Element element) {
        const Digest digest = DigestOf(element);
        auto it = wanted.find(digest.place);
        const bool same = it != wanted.end() && it->second == digest.content;
        if (same) {
          right.emplace(digest.place, true);
        } else {
          others.insert_or_assign(digest.place, std::move(element));
        }
      });
      if (!dumped) return std::unexpected(dumped.error());
    }
  }
  std::vector<nftables::Write> writes;
  leftovers_.clear();
  for (auto& [place, element] : others) {
    if (right.contains(place)) continue;
    const uint64_t owner = OwnerOf(element);
    if (pruned_ || owners.contains(owner)) {
      writes.push_back({false, kNoGroup, std::move(element)});
    } else {
      leftovers_[owner].push_back(std::move(element));
    }
  }
  if (right.size() != wanted.size()) {
    ledger_.ForEach([&](size_t port, Element element) {
      if (!right.contains(DigestOf(element).place)) writes.push_back({true, port, std::move(element)});
    });
  }
  const size_t count = writes.size();
  if (auto sent = SendAll(std::move(writes)); !sent) return std::unexpected(sent.error());
  return count;
}

std::vector<datapath::Refusal> Writer::Refused() const {
  std::vector<datapath::Refusal> refusals;
  for (const auto& [key, error] : refused_) refusals.push_back({key, error});
  return refusals;
}

Result<void> Writer::Prune() {
  pruned_ = true;
  std::vector<nftables::Write> writes;
  for (auto& [owner, elements] : leftovers_) {
    for (Element& element : elements) writes.push_back({false, kNoGroup, std::move(element)});
  }
  leftovers_.clear();
  if (auto sent = Send(writes); !sent || !sent->empty()) {
    ++counts_.cleanup_failures;
    pruned_ = true;
    if (auto synced = Resync(); !synced) return synced;  // compares, and removes what is nobody's
  }
  return RemoveUnused();
}

// Chains and affinity's maps that nothing leads to.
Result<void> Writer::RemoveUnused() {
  auto sight = kernel_.Look();
  if (!sight) return std::unexpected(sight.error());
  chains_ = ledger_.Chains();
  std::set<std::string, std::less<>> chains, maps;
  for (const std::string& name : FixedChains()) chains.insert(name);
  for (const Chain& chain : chains_) chains.insert(chain.Name());
  for (const auto& [key, sticky] : stickies_) {
    for (std::string& name : sticky.Chains()) chains.insert(std::move(name));
    for (std::string& name : sticky.Maps()) maps.insert(std::move(name));
  }
  for (const std::string& name : NodeSets()) maps.insert(name);
  for (size_t set = 0; set < kSets; ++set) {
    for (Family family : kBoth) maps.insert(SetName(static_cast<Set>(set), family));
  }
  std::string flushes, deletions;
  for (const std::string& name : sight->chains) {
    if (chains.contains(name)) continue;
    flushes += fmt::format("flush chain inet {} {}\n", kTable, name);
    deletions += fmt::format("delete chain inet {} {}\n", kTable, name);
  }
  for (const std::string& name : sight->maps) {
    // Sets without a name of their own ("__set0") belong to a rule.
    if (!maps.contains(name) && !name.starts_with("__"))
      deletions += fmt::format("delete set inet {} {}\n", kTable, name);
  }
  untidy_ = false;
  if (deletions.empty()) return {};
  auto ran = Run(flushes + deletions);
  if (!ran) ++counts_.cleanup_failures;
  untidy_ = !ran;
  return ran;
}

Writer::Clock::time_point Writer::CheckUp(Clock::time_point now) {
  if (!committed_) {
    kernel_.Touched();  // else event_fd stays readable
    return now + options_.sync_period;
  }
  const bool touched = kernel_.Touched() || touched_;
  if (touched && now < heal_at_) {
    touched_ = true;
    return heal_at_;
  }
  if (!touched && now < full_pass_at_) return full_pass_at_;
  touched_ = false;
  full_pass_at_ = now + options_.sync_period;
  auto checked = FullPass(touched);
  if (checked) checked = PayOwed();
  if (checked) {
    last_error_.clear();
  } else {
    if (last_error_ != checked.error().message) spdlog::error("{}; trying again", checked.error().message);
    last_error_ = checked.error().message;
    full_pass_at_ = now + kRetry;
    touched_ = touched;
  }
  heal_at_ = now + kHealPause;
  return full_pass_at_;
}

// The generation says whether anybody but us has written anything at all: if not, there is nothing to read.
// Others' tables are written all the time (by iptables-nft, of every CNI plugin): then the kernel's word that
// ours was not is taken, kUnread times at most. That word is not heard while nft works for us (digest_ is
// empty then).
bool Writer::NeedsNoLook(uint32_t generation, bool touched) {
  if (touched || !trouble_.empty() || !generation_) return false;
  if (*generation_ == generation) return true;
  if (!digest_ || ++unread_ > kUnread) return false;
  generation_ = generation;
  return true;
}

// The first failure, after all have been tried.
Result<void> Writer::PayOwed() {
  Result<void> outcome;
  std::erase_if(owed_, [&](const plan::ServicePortKey& key) {
    auto forgot = ForgetDeparted(key);
    if (!forgot && outcome) outcome = std::unexpected(std::move(forgot.error()).In(key.ToString()));
    return forgot.has_value();
  });
  return outcome;
}

Result<void> Writer::FullPass(bool touched) {
  auto generation = kernel_.Generation();
  if (!generation) return std::unexpected(generation.error());
  if (!NeedsNoLook(*generation, touched)) {
    unread_ = 0;
    trouble_.clear();
    untidy_ = true;
    if (auto synced = Resync(); !synced) return synced;
  }
  if (pruned_ && untidy_) {
    if (auto removed = RemoveUnused(); !removed) return removed;
  }
  if (digest_) return {};
  auto sight = kernel_.Look();
  if (!sight) return std::unexpected(sight.error());
  auto now = kernel_.Generation();
  if (now && generation_ && *now == *generation_) {
    digest_ = sight->digest;
    counts_.rules = sight->rules;
  }
  return {};
}

}  // namespace fairlead::nftables
