// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/writer.h"

#include <algorithm>
#include <set>
#include <utility>

namespace fairlead::ebpf {

namespace {

bool HasKey(const std::vector<Entry>& entries, const frontend_key& key) {
  return std::any_of(entries.begin(), entries.end(),
                     [&](const Entry& entry) { return SameKey(entry.key, key); });
}

template <typename T>
bool Contains(const std::vector<T>& items, const T& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

// Entries of `frontends` that services leave free, so that an address the node gets later never waits for
// one of them to go.
uint32_t NodeReserve(uint32_t capacity) {
  return std::min(64u, capacity / 8);
}

}  // namespace

Writer::Writer(const Tables& tables, Reclaimer& reclaimer)
    : tables_(tables),
      reclaimer_(reclaimer),
      frontends_(tables.frontends, tables.hash_seed, store_, reclaimer),
      destinations_(tables.destinations, tables.flow_keys),
      addresses_(frontends_, destinations_, store_),
      service_cidrs_("service_cidrs", tables.service_cidrs, store_, reclaimer),
      pod_cidrs_("pod_cidrs", tables.pod_cidrs, store_, reclaimer),
      runs_(tables, store_, reclaimer),
      service_ids_(static_cast<uint32_t>(tables.service_traffic.size())),
      sources_(tables.source_ranges, tables.source_range_capacity, reclaimer) {}

// --- apply

std::vector<datapath::Failure> Writer::Apply(std::span<const plan::Change> changes) {
  std::vector<datapath::Failure> failures;
  std::vector<frontend_key> gone;
  size_t backends = 0;
  for (const plan::Change& change : changes) backends += change.now ? change.now->cluster.size() : 0;
  runs_.Expect(backends);
  for (const plan::Change& change : changes) {
    if (!change.now) continue;
    if (auto set = Set(*change.now, gone); !set) failures.push_back({change, std::move(set.error())});
  }
  for (const plan::Change& change : changes) {
    if (change.now) continue;
    if (auto it = present_.find(change.key); it != present_.end()) Remove(it, gone);
  }
  KillUnowned(gone);
  addresses_.DropUnused();
  return failures;
}

Result<Writer::PresentMap::iterator> Writer::PresentOf(const plan::ServicePortKey& key) {
  auto it = present_.find(key);
  if (it != present_.end()) return it;
  auto id = service_ids_.Take();
  if (!id) {
    return Fail(ErrorKind::kExhausted, "services: all {} ids are in use (capacities.services)",
                service_ids_.capacity());
  }
  if (auto written = tables_.services->Update(*id, EncodeService(key)); !written) {
    service_ids_.Give(*id);
    return std::unexpected(std::move(written.error()).In("services"));
  }
  store_.Publish(tables_.service_traffic[*id], traffic{});
  Present present;
  present.id = *id;
  return present_.emplace(key, std::move(present)).first;
}

Result<void> Writer::CheckRoom(const std::vector<Entry>& entries,
                               const std::vector<AddressUse>& addresses) const {
  size_t more = addresses_.Missing(addresses);
  for (const Entry& entry : entries) more += !frontends_.Get(entry.key);
  const uint32_t reserve = NodeReserve(frontends_.capacity());
  if (more > 0 && frontends_.live() + more > frontends_.capacity() - reserve) {
    return Fail(ErrorKind::kExhausted,
                "frontends: {} more are needed, {} of {} are in use and {} kept for addresses of the node "
                "(capacities.frontends)",
                more, frontends_.live(), frontends_.capacity(), reserve);
  }
  return {};
}

// Runs for each list that an entry uses, indexed by List.
Result<std::vector<RunPlace>> Writer::MakeRuns(const plan::ServicePort& port, const Present& present,
                                               const std::vector<Entry>& entries, uint32_t source_set) {
  std::vector<RunPlace> by_list(2);
  std::vector<RunPlace> standing = present.runs;
  std::vector<RunPlace> made;
  uint32_t replaces = 0;
  for (const RunPlace& run : present.runs) replaces += runs_.Head(run).length;
  for (List list : {List::kCluster, List::kLocal}) {
    if (std::none_of(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.list == list; }))
      continue;
    RunContent content;
    content.service_id = present.id;
    content.proto = static_cast<uint8_t>(port.key.protocol);
    content.algorithm = port.algorithm == plan::Algorithm::kMaglev ? ALGORITHM_MAGLEV : ALGORITHM_RANDOM;
    content.affinity_timeout_s = port.affinity_timeout_s;
    content.source_set = source_set;
    content.backends = EncodeBackends(port, list);
    auto place = runs_.Make(content, standing, replaces);
    if (!place) {
      ReleaseRuns(made, {}, content.proto);
      return std::unexpected(place.error());
    }
    if (!Contains(standing, *place)) {
      made.push_back(*place);
      standing.push_back(*place);  // the other list may be the same
    }
    by_list[static_cast<size_t>(list)] = *place;
  }
  return by_list;
}

// Points every entry at its run, each with one store.
Result<void> Writer::Flip(PresentMap::iterator it, const std::vector<Entry>& entries,
                          const std::vector<RunPlace>& by_list) {
  auto& [key, present] = *it;
  Result<void> outcome;
  for (const Entry& entry : entries) {
    const RunPlace& run = by_list[static_cast<size_t>(entry.list)];
    frontend value{run.offset, run.count, run.algorithm, entry.flags};
    if (auto set = frontends_.Set(entry.key, present.id, value); !set) {
      outcome = std::move(set);
      continue;
    }
    owner_[entry.key] = &key;
    auto at = std::lower_bound(present.keys.begin(), present.keys.end(), entry.key, FrontendKeyLess());
    if (at == present.keys.end() || !SameKey(*at, entry.key)) present.keys.insert(at, entry.key);
  }
  return outcome;
}

Result<void> Writer::Set(const plan::ServicePort& port, std::vector<frontend_key>& gone) {
  // Also where it fails: the plan knows it, and what stood before stands.
  if (auto known = present_.find(port.key); known != present_.end()) known->second.applied = true;
  std::vector<Entry> entries = EncodeEntries(port);
  std::vector<AddressUse> addresses = Addresses::UsesOf(port);
  // Before anything is made: what does not fit is tried again and again.
  if (auto room = CheckRoom(entries, addresses); !room) {
    return std::unexpected(std::move(room.error()).In(port.key.ToString()));
  }
  auto found = PresentOf(port.key);
  if (!found) return std::unexpected(std::move(found.error()).In(port.key.ToString()));
  auto it = *found;
  Present& present = it->second;
  present.applied = true;
  auto fail = [&](Error error) -> Result<void> {
    if (present.runs.empty() && present.keys.empty()) Remove(it, gone);
    return std::unexpected(std::move(error).In(port.key.ToString()));
  };

  auto sources = sources_.Make(port, present.sources, present.id);
  if (!sources) return fail(sources.error());
  bool new_sources = sources->id != present.sources.id;
  auto by_list = MakeRuns(port, present, entries, sources->id);
  if (!by_list) {
    if (new_sources) sources_.Release(*sources);
    return fail(by_list.error());
  }

  Result<void> outcome;
  for (const AddressUse& use : addresses) {
    if (auto taken = addresses_.Take(use); !taken) outcome = std::move(taken);
  }
  if (auto flipped = Flip(it, entries, *by_list); !flipped) outcome = std::move(flipped);

  // From here on nothing points at what is let go, but for frontends that are killed when this batch ends.
  for (const frontend_key& key : std::vector(present.keys)) {
    if (!HasKey(entries, key)) Disown(it, key, gone);
  }
  std::vector<RunPlace> runs;
  for (const Entry& entry : entries) {
    const RunPlace& run = (*by_list)[static_cast<size_t>(entry.list)];
    if (!Contains(runs, run)) runs.push_back(run);
  }
  if (!outcome) {
    for (const RunPlace& run : present.runs) {
      if (!Contains(runs, run)) runs.push_back(run);  // a frontend that did not flip still points there
    }
  }
  ReleaseRuns(present.runs, runs, static_cast<uint8_t>(port.key.protocol));
  present.runs = std::move(runs);
  if (new_sources) present.old_sources.push_back(std::move(present.sources));
  present.sources = std::move(*sources);
  if (outcome) {
    for (const SourceSet& old : std::exchange(present.old_sources, {})) sources_.Release(old);
  }
  for (const AddressUse& use : present.addresses) addresses_.Release(use);
  present.addresses = std::move(addresses);
  if (!outcome) return fail(outcome.error());
  return {};
}

void Writer::Remove(PresentMap::iterator it, std::vector<frontend_key>& gone) {
  Present& present = it->second;
  for (const frontend_key& key : std::vector(present.keys)) Disown(it, key, gone);
  ReleaseRuns(present.runs, {}, static_cast<uint8_t>(it->first.protocol));
  sources_.Release(present.sources);
  for (const SourceSet& old : present.old_sources) sources_.Release(old);
  for (const AddressUse& use : present.addresses) addresses_.Release(use);
  reclaimer_.Retire([this, id = present.id] { DeleteServiceRow(id); });
  present_.erase(it);
}

void Writer::DeleteServiceRow(uint32_t id) {
  if (tables_.services->Delete(id)) {
    service_ids_.Give(id);
  } else {
    reclaimer_.Retire([this, id] { DeleteServiceRow(id); });
  }
}

// The service lets go of a frontend: it is killed later, unless another service has it by then.
void Writer::Disown(PresentMap::iterator it, const frontend_key& key, std::vector<frontend_key>& gone) {
  auto& keys = it->second.keys;
  std::erase_if(keys, [&](const frontend_key& k) { return SameKey(k, key); });
  auto owner = owner_.find(key);
  if (owner == owner_.end() || owner->second != &it->first) return;
  owner_.erase(owner);
  gone.push_back(key);
}

void Writer::KillUnowned(const std::vector<frontend_key>& keys) {
  for (const frontend_key& key : keys) {
    if (!owner_.contains(key)) frontends_.Kill(key);
  }
}

void Writer::ReleaseRuns(const std::vector<RunPlace>& runs, const std::vector<RunPlace>& except,
                         uint8_t proto) {
  for (const RunPlace& run : runs) {
    if (!Contains(except, run)) runs_.Release(run, proto);
  }
}

// --- the node

Result<void> Writer::ApplyNode(const plan::NodePlan& node) {
  Result<void> outcome = addresses_.ApplyNode(node);
  if (auto applied = service_cidrs_.Apply(node.service_cidrs); !applied) outcome = std::move(applied);
  if (auto applied = pod_cidrs_.Apply(node.pod_cidrs); !applied) outcome = std::move(applied);
  return outcome;
}

// --- start

Result<std::vector<std::string>> Writer::Restore() {
  auto left = RestoreServices();
  if (!left) return std::unexpected(left.error());
  frontends_.Restore();
  std::vector<std::string> findings;
  std::vector<frontend_key> broken;
  frontends_.ForEach([&](const frontend_key& key, uint32_t, frontend value) {
    if (key.scope == SCOPE_ADDRESS) {
      addresses_.Restore(Address{key.addr}, value.offset);
    } else if (auto adopted = Adopt(*left, key, value); !adopted) {
      findings.push_back(adopted.error().message);
      broken.push_back(key);
    }
  });
  for (const frontend_key& key : broken) frontends_.Kill(key);
  // Until it is applied a service keeps the roles it gave to addresses, also over Prune.
  for (auto& [key, present] : present_) {
    for (const frontend_key& frontend : present.keys) {
      for (const AddressUse& use : addresses_.RestoredUses(Address{frontend.addr})) {
        if (Contains(present.addresses, use)) continue;
        present.addresses.push_back(use);
        (void)addresses_.Take(use);  // its entry stands: it cannot fail
      }
    }
  }
  // Sets that no service goes on with: half made, or of the side that lost when a service was flipping.
  for (const auto& [key, present] : present_) left->sets.erase(present.sources.id);
  for (const auto& [id, set] : left->sets) orphans_.push_back(set);

  service_cidrs_.Restore();
  pod_cidrs_.Restore();
  return findings;
}

Result<Writer::Left> Writer::RestoreServices() {
  std::set<uint32_t> serving;  // service ids
  frontends_.ForEach([&](const frontend_key& key, uint32_t, frontend value) {
    if (key.scope == SCOPE_ADDRESS || value.offset >= tables_.backends.size()) return;
    serving.insert(tables_.backends[value.offset].run.service_id);
  });
  std::vector<std::pair<uint32_t, plan::ServicePortKey>> rows;
  auto listed = tables_.services->ForEach(
      [&](const uint32_t& id, const service& row) { rows.emplace_back(id, DecodeService(row)); });
  if (!listed) return std::unexpected(std::move(listed.error()).In("services"));
  // A service that went and came back has two rows until the grace period of the first: the one that serves
  // counts.
  std::stable_partition(rows.begin(), rows.end(),
                        [&](const auto& row) { return serving.contains(row.first); });
  Left left;
  for (auto& [id, key] : rows) {
    Present present;
    present.id = id;
    auto [it, added] = present_.emplace(std::move(key), std::move(present));
    bool claimed = service_ids_.Claim(id);
    if (added && claimed) left.services.emplace(id, it);
    if (!added) reclaimer_.Retire([this, stale = id] { DeleteServiceRow(stale); });
  }
  auto sets = sources_.Restore();
  if (!sets) return std::unexpected(sets.error());
  left.sets = *std::move(sets);
  return left;
}

// Gives a frontend and its run to the service the run names; why that makes no sense.
Result<void> Writer::Adopt(Left& left, const frontend_key& key, frontend value) {
  RunPlace place{value.offset, value.count, value.algorithm};
  auto known = left.runs.find(value.offset);
  if (known == left.runs.end()) {
    if (auto taken = runs_.Adopt(place, key.proto); !taken) return std::unexpected(taken.error());
    left.runs.emplace(value.offset, place);
  } else if (!(known->second == place)) {
    return Fail(ErrorKind::kInvalid, "frontends: two entries disagree about the run at {}", value.offset);
  }
  const run& head = runs_.Head(place);
  auto service = left.services.find(head.service_id);
  if (service == left.services.end()) {
    return Fail(ErrorKind::kInvalid, "backends[{}]: service id {} has no row", value.offset, head.service_id);
  }
  Present& present = service->second->second;
  if (!Contains(present.runs, place)) present.runs.push_back(place);
  present.keys.insert(std::lower_bound(present.keys.begin(), present.keys.end(), key, FrontendKeyLess()),
                      key);
  owner_[key] = &service->second->first;
  if (auto set = left.sets.find(head.source_set); set != left.sets.end()) present.sources = set->second;
  return {};
}

Result<void> Writer::InheritIds(const Tables& old) {
  Result<void> outcome;
  auto listed = old.services->ForEach([&](const uint32_t& id, const service& row) {
    plan::ServicePortKey key = DecodeService(row);
    if (present_.contains(key) || !service_ids_.Claim(id)) return;
    Present present;
    present.id = id;
    present_.emplace(std::move(key), std::move(present));
    if (auto written = tables_.services->Update(id, row); !written) outcome = std::move(written);
  });
  if (!listed) return listed;
  if (!outcome) return outcome;
  for (const frontend_slot& slot : old.frontends) {
    if (slot.value.flags == 0 || slot.scope == SCOPE_ADDRESS) continue;
    if (slot.value.offset >= old.backends.size()) continue;
    const run& head = old.backends[slot.value.offset].run;
    if (head.kind != RECORD_RUN || head.length == 0) continue;
    if (uint64_t{slot.value.offset} + head.length > old.backends.size()) continue;
    runs_.InheritIds(old.backends.subspan(slot.value.offset + 1, head.length - 1), slot.proto);
  }
  return {};
}

Result<void> Writer::Prune() {
  std::vector<frontend_key> gone;
  for (auto it = present_.begin(); it != present_.end();) {
    auto next = std::next(it);
    if (!it->second.applied) Remove(it, gone);
    it = next;
  }
  KillUnowned(gone);
  addresses_.DropUnused();
  std::set<uint32_t> named;  // by a run that stands because its service could not be changed
  for (const auto& [key, present] : present_) {
    for (const RunPlace& run : present.runs) named.insert(runs_.Head(run).source_set);
  }
  std::erase_if(orphans_, [&](const SourceSet& set) {
    if (named.contains(set.id)) return false;
    sources_.Release(set);
    return true;
  });
  runs_.ForgetUnused();
  return addresses_.Prune();
}

std::vector<datapath::Usage> Writer::Usages() const {
  return {
      {"frontends", frontends_.live(), frontends_.capacity()},
      {"backends", runs_.records().used(), runs_.records().capacity()},
      {"backend_ids", runs_.backend_ids().used(), runs_.backend_ids().capacity()},
      {"rings", uint64_t{runs_.ring_chunks().used()} * RING_CHUNK_SLOTS,
       uint64_t{runs_.ring_chunks().capacity()} * RING_CHUNK_SLOTS},
      {"services", service_ids_.used(), service_ids_.capacity()},
      {"source_ranges", sources_.used(), sources_.capacity()},
  };
}

}  // namespace fairlead::ebpf
