// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/ledger.h"

#include <algorithm>
#include <utility>

namespace fairlead::nftables {

namespace {

// What distinguishes `after` from `before`, as writes of a group.
void Compare(size_t group, std::vector<Element> before, std::vector<Element> after,
             std::vector<Write>& deletions, std::vector<Write>& additions) {
  std::unordered_map<uint64_t, std::pair<uint64_t, Element*>> stands;
  stands.reserve(before.size());
  for (Element& element : before) {
    const Digest digest = DigestOf(element);
    stands.emplace(digest.place, std::pair(digest.content, &element));
  }
  for (Element& element : after) {
    const Digest digest = DigestOf(element);
    auto it = stands.find(digest.place);
    const bool same = it != stands.end() && it->second.first == digest.content;
    if (same) {
      stands.erase(it);
    } else {
      additions.push_back({true, group, std::move(element)});
    }
  }
  for (auto& [place, stood] : stands) deletions.push_back({false, group, std::move(*stood.second)});
}

size_t SlotsOf(const Standing& standing) {
  return standing.cluster.size() + standing.local.size();
}

// Elements several need: how their counts move.
struct Moves {
  std::unordered_map<uint64_t, int64_t>& counts;
  std::unordered_map<uint64_t, Element> elements;

  void Add(const Standing& standing, int64_t by) {
    for (Element& element : SharedElements(standing)) {
      const uint64_t place = DigestOf(element).place;
      counts[place] += by;
      elements.try_emplace(place, std::move(element));
    }
  }
};

}  // namespace

const Standing* Ledger::Find(const plan::ServicePortKey& key) const {
  auto it = ports_.find(key);
  return it == ports_.end() ? nullptr : &it->second;
}

void Ledger::Take(std::span<const plan::Change> changes) {
  for (const plan::Change& change : changes) {
    Draft draft;
    Moves moves{draft.counts, {}};
    const Standing* before = Find(change.key);
    if (before) moves.Add(*before, -1);
    if (change.now) {
      Standing& becomes = draft.become[change.key] = Standing::Of(change.now, before);
      moves.Add(becomes, 1);
    } else {
      draft.go.insert(change.key);
    }
    Keep(std::move(draft));
  }
}

Ledger::Draft Ledger::Try(std::span<const plan::Change> changes) const {
  Draft draft;
  std::vector<Write> additions;
  Moves moves{draft.counts, {}};
  for (size_t i = 0; i < changes.size(); ++i) {
    const plan::Change& change = changes[i];
    const Standing* before = Find(change.key);
    std::vector<Element> after;
    if (change.now) {
      Standing& becomes = draft.become[change.key] = Standing::Of(change.now, before);
      after = OwnElements(becomes);
      moves.Add(becomes, 1);
    } else {
      draft.go.insert(change.key);
    }
    if (before) moves.Add(*before, -1);
    Compare(i, before ? OwnElements(*before) : std::vector<Element>{}, std::move(after), draft.writes,
            additions);
  }
  for (auto& [place, by] : draft.counts) {
    auto needed = shared_.find(place);
    const int64_t count = needed == shared_.end() ? 0 : needed->second;
    Element& element = moves.elements.at(place);
    if (count == 0 && by > 0) additions.push_back({true, kNoGroup, std::move(element)});
    if (count > 0 && count + by == 0) draft.writes.push_back({false, kNoGroup, std::move(element)});
  }
  std::ranges::move(additions, std::back_inserter(draft.writes));
  return draft;
}

void Ledger::Keep(Draft draft) {
  for (auto& [key, standing] : draft.become) {
    Standing& stands = ports_[key];
    slots_ += SlotsOf(standing) - SlotsOf(stands);
    stands = std::move(standing);
  }
  for (const plan::ServicePortKey& key : draft.go) {
    auto stands = ports_.find(key);
    if (stands == ports_.end()) continue;
    slots_ -= SlotsOf(stands->second);
    ports_.erase(stands);
  }
  for (const auto& [place, by] : draft.counts) {
    const auto count = static_cast<uint32_t>(static_cast<int64_t>(shared_[place]) + by);
    if (count == 0) {
      shared_.erase(place);
    } else {
      shared_[place] = count;
    }
  }
}

void Ledger::ForEach(const std::function<void(size_t port, Element element)>& visit) const {
  std::set<uint64_t> seen;
  size_t port = 0;
  for (const auto& [key, standing] : ports_) {
    for (Element& element : OwnElements(standing)) visit(port, std::move(element));
    for (Element& element : SharedElements(standing)) {
      if (seen.insert(DigestOf(element).place).second) visit(kNoGroup, std::move(element));
    }
    ++port;
  }
}

std::set<Chain> Ledger::Chains() const {
  std::set<Chain> chains;
  for (const auto& [key, standing] : ports_) AddChains(standing, chains);
  return WithUsualCounts(std::move(chains));
}

}  // namespace fairlead::nftables
