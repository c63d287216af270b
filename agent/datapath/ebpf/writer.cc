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

bool Contains(const std::vector<RunPlace>& runs, const RunPlace& run) {
  return std::find(runs.begin(), runs.end(), run) != runs.end();
}

}  // namespace

Writer::Writer(const Tables& tables, Reclaimer& reclaimer)
    : tables_(tables),
      reclaimer_(reclaimer),
      frontends_(tables.frontends, tables.hash_seed, store_, reclaimer),
      runs_(tables, store_, reclaimer),
      service_ids_(static_cast<uint32_t>(tables.service_traffic.size())),
      source_sets_(tables.source_range_capacity + 1) {}

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
  DropRoles();
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
                               const std::vector<Address>& cluster_ips) const {
  size_t more = 0;
  for (const Entry& entry : entries) more += !frontends_.Get(entry.key);
  for (const Address& address : cluster_ips) more += !frontends_.Get(AddressKey(address));
  if (more > 0 && frontends_.live() + more > frontends_.capacity()) {
    return Fail(ErrorKind::kExhausted,
                "frontends: {} more are needed, {} of {} are in use (capacities.frontends)", more,
                frontends_.live(), frontends_.capacity());
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
  std::vector<Address> cluster_ips;
  for (const plan::Frontend& frontend : port.frontends) {
    if (frontend.kind == plan::FrontendKind::kClusterIp) cluster_ips.push_back(frontend.address);
  }
  // Before anything is made: what does not fit is tried again and again.
  if (auto room = CheckRoom(entries, cluster_ips); !room) {
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

  auto sources = MakeSources(port, present);
  if (!sources) return fail(sources.error());
  bool new_sources = sources->id != present.sources.id;
  auto by_list = MakeRuns(port, present, entries, sources->id);
  if (!by_list) {
    if (new_sources) ReleaseSources(*sources);
    return fail(by_list.error());
  }

  Result<void> outcome;
  for (const Address& address : cluster_ips) {
    if (auto used = UseClusterIp(address); !used) outcome = std::move(used);
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
    for (const SourceSet& old : std::exchange(present.old_sources, {})) ReleaseSources(old);
  }
  for (const Address& address : present.cluster_ips) UnuseClusterIp(address);
  present.cluster_ips = std::move(cluster_ips);
  if (!outcome) return fail(outcome.error());
  return {};
}

void Writer::Remove(PresentMap::iterator it, std::vector<frontend_key>& gone) {
  Present& present = it->second;
  for (const frontend_key& key : std::vector(present.keys)) Disown(it, key, gone);
  ReleaseRuns(present.runs, {}, static_cast<uint8_t>(it->first.protocol));
  ReleaseSources(present.sources);
  for (const SourceSet& old : present.old_sources) ReleaseSources(old);
  for (const Address& address : present.cluster_ips) UnuseClusterIp(address);
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

// --- source ranges

Result<Writer::SourceSet> Writer::MakeSources(const plan::ServicePort& port, const Present& present) {
  if (!port.has_source_ranges) return SourceSet{};
  std::vector<source_range_key> wanted = EncodeSourceRanges(port, present.sources.id);
  auto same = [](const source_range_key& a, const source_range_key& b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
  };
  if (present.sources.id != 0 &&
      std::is_permutation(wanted.begin(), wanted.end(), present.sources.keys.begin(),
                          present.sources.keys.end(), same)) {
    return present.sources;
  }
  auto id = source_sets_.Take();
  if (!id)
    return Fail(ErrorKind::kExhausted, "source_ranges: all {} sets are in use", source_sets_.capacity());
  SourceSet sources{*id, EncodeSourceRanges(port, *id)};
  for (const source_range_key& key : sources.keys) {
    if (auto written = tables_.source_ranges->Update(key, {present.id}); !written) {
      DeleteSources(sources);
      return std::unexpected(std::move(written.error()).In("source_ranges (capacities.sourceRanges)"));
    }
  }
  source_range_count_ += sources.keys.size();
  return sources;
}

void Writer::ReleaseSources(const SourceSet& sources) {
  if (sources.id == 0) return;
  source_range_count_ -= sources.keys.size();
  reclaimer_.Retire([this, sources] { DeleteSources(sources); });
}

void Writer::DeleteSources(const SourceSet& sources) {
  for (const source_range_key& key : sources.keys) {
    if (!tables_.source_ranges->Delete(key)) {
      reclaimer_.Retire([this, sources] { DeleteSources(sources); });  // deleting twice is no harm
      return;
    }
  }
  source_sets_.Give(sources.id);
}

// --- addresses

Result<void> Writer::WriteRoles(const Address& address) {
  auto it = roles_.find(address);
  if (it == roles_.end()) return {};
  const Roles& roles = it->second;
  uint32_t mask =
      roles.node | roles.restored | (roles.cluster_ip_uses > 0 ? uint32_t{ADDRESS_CLUSTER_IP} : 0);
  frontend_key key = AddressKey(address);
  if (mask == 0) {
    frontends_.Kill(key);
    roles_.erase(it);
    return {};
  }
  return frontends_.Set(key, 0, frontend{mask, 0, 0, FRONTEND_LIVE});
}

Result<void> Writer::UseClusterIp(const Address& address) {
  ++roles_[address].cluster_ip_uses;
  return WriteRoles(address);
}

void Writer::UnuseClusterIp(const Address& address) {
  auto it = roles_.find(address);
  if (it == roles_.end() || it->second.cluster_ip_uses == 0 || --it->second.cluster_ip_uses > 0) return;
  unused_cluster_ips_.push_back(address);
}

// At the end of a batch, when an address that moved has its new owner.
void Writer::DropRoles() {
  for (const Address& address : std::exchange(unused_cluster_ips_, {})) {
    (void)WriteRoles(address);  // taking a role away makes no new entry: it cannot fail
  }
}

Result<void> Writer::ApplyNode(const plan::NodePlan& node) {
  std::map<Address, uint32_t> wanted;
  for (const Address& address : node.nodeport_addresses) wanted[address] |= ADDRESS_NODE;
  if (node.loopback_nodeports_v4) wanted[*Address::Parse("127.0.0.1")] |= ADDRESS_LOOPBACK;
  if (node.loopback_nodeports_v6) wanted[*Address::Parse("::1")] |= ADDRESS_LOOPBACK;

  std::vector<Address> changed;
  for (auto& [address, roles] : roles_) {
    auto it = wanted.find(address);
    uint32_t now = it == wanted.end() ? 0 : it->second;
    if (roles.node != now) changed.push_back(address);
    roles.node = now;
  }
  for (const auto& [address, role] : wanted) {
    if (roles_.contains(address)) continue;
    roles_[address].node = role;
    changed.push_back(address);
  }
  Result<void> outcome;
  for (const Address& address : changed) {
    if (auto written = WriteRoles(address); !written) {
      roles_[address].node = 0;  // not as wanted: the next call tries again
      outcome = std::move(written);
    }
  }

  if (node.service_cidrs.size() > tables_.service_cidrs.size()) {
    return Fail(ErrorKind::kExhausted, "service_cidrs: {} prefixes, {} fit", node.service_cidrs.size(),
                tables_.service_cidrs.size());
  }
  if (service_cidrs_ != node.service_cidrs) {
    service_cidrs_ = node.service_cidrs;
    for (size_t i = tables_.service_cidrs.size(); i-- > 0;) {
      if (tables_.service_cidrs[i].in_use) store_.Publish(tables_.service_cidrs[i].in_use, __u64{0});
    }
    // Only the last of several changes waits long enough: elements may be in use again in between.
    reclaimer_.Retire([this, change = ++service_cidr_changes_] {
      if (change == service_cidr_changes_) WriteServiceCidrs();
    });
  }
  return outcome;
}

// Nobody reads past an unused element, and every reader of the old ones is done.
void Writer::WriteServiceCidrs() {
  for (size_t i = 0; i < service_cidrs_.size(); ++i) {
    service_cidr& element = tables_.service_cidrs[i];
    service_cidr wanted{};
    wanted.base = service_cidrs_[i].base.raw;
    for (unsigned bit = 0; bit < service_cidrs_[i].WireBits(); ++bit) {
      wanted.mask.bytes[bit / 8] = static_cast<uint8_t>(wanted.mask.bytes[bit / 8] | 0x80u >> (bit % 8));
    }
    store_.Fill(&element, &wanted, offsetof(service_cidr, in_use));
    store_.Publish(element.in_use, __u64{1});
  }
}

// --- start

Result<std::vector<std::string>> Writer::Restore() {
  std::vector<std::string> findings;
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
  std::unordered_map<uint32_t, PresentMap::iterator> by_id;
  for (auto& [id, key] : rows) {
    Present present;
    present.id = id;
    auto [it, added] = present_.emplace(std::move(key), std::move(present));
    bool claimed = service_ids_.Claim(id);
    if (added && claimed) by_id.emplace(id, it);
    if (!added) reclaimer_.Retire([this, stale = id] { DeleteServiceRow(stale); });
  }

  std::map<uint32_t, SourceSet> sets;
  auto ranges = tables_.source_ranges->ForEach([&](const source_range_key& key, const source_range&) {
    SourceSet& set = sets[key.source_set];
    set.id = key.source_set;
    set.keys.push_back(key);
  });
  if (!ranges) return std::unexpected(std::move(ranges.error()).In("source_ranges"));
  for (auto& [id, set] : sets) {
    source_sets_.Claim(id);
    source_range_count_ += set.keys.size();
  }

  frontends_.Restore();
  std::map<uint32_t, RunPlace> adopted;
  std::vector<frontend_key> broken;
  frontends_.ForEach([&](const frontend_key& key, uint32_t, frontend value) {
    if (key.scope == SCOPE_ADDRESS) {
      roles_[Address{key.addr}].restored = value.offset;
      return;
    }
    RunPlace place{value.offset, value.count, value.algorithm};
    auto known = adopted.find(value.offset);
    if (known == adopted.end()) {
      if (auto taken = runs_.Adopt(place, key.proto); !taken) {
        findings.push_back(taken.error().message);
        broken.push_back(key);
        return;
      }
      adopted.emplace(value.offset, place);
    } else if (!(known->second == place)) {
      findings.push_back(fmt::format("frontends: two entries disagree about the run at {}", value.offset));
      broken.push_back(key);
      return;
    }
    const run& head = runs_.Head(place);
    auto service = by_id.find(head.service_id);
    if (service == by_id.end()) {
      findings.push_back(
          fmt::format("backends[{}]: service id {} has no row", value.offset, head.service_id));
      broken.push_back(key);
      return;
    }
    Present& present = service->second->second;
    if (!Contains(present.runs, place)) present.runs.push_back(place);
    present.keys.insert(std::lower_bound(present.keys.begin(), present.keys.end(), key, FrontendKeyLess()),
                        key);
    owner_[key] = &service->second->first;
    if (head.source_set != 0 && sets.contains(head.source_set)) {
      present.sources = sets[head.source_set];
    }
  });
  for (const frontend_key& key : broken) frontends_.Kill(key);
  // Until it is applied a service keeps the cluster IPs it had, also over Prune.
  for (auto& [key, present] : present_) {
    for (const frontend_key& frontend : present.keys) {
      Address address{frontend.addr};
      auto roles = roles_.find(address);
      if (roles == roles_.end() || !(roles->second.restored & ADDRESS_CLUSTER_IP)) continue;
      if (!present.cluster_ips.empty() && present.cluster_ips.back() == address) continue;
      present.cluster_ips.push_back(address);
      ++roles->second.cluster_ip_uses;
    }
  }
  // Sets that no service goes on with: half made, or of the side that lost when a service was flipping.
  for (const auto& [key, present] : present_) sets.erase(present.sources.id);
  for (const auto& [id, set] : sets) orphans_.push_back(set);

  for (const service_cidr& element : tables_.service_cidrs) {
    if (!element.in_use) break;
    Cidr cidr{Address{element.base}, 0};
    unsigned bits = 0;
    for (uint8_t byte : element.mask.bytes) bits += static_cast<unsigned>(__builtin_popcount(byte));
    cidr.bits = static_cast<uint8_t>(cidr.GetFamily() == Family::kIpv4 ? bits - 96 : bits);
    service_cidrs_.push_back(cidr);
  }
  return findings;
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
  DropRoles();
  std::set<uint32_t> named;  // by a run that stands because its service could not be changed
  for (const auto& [key, present] : present_) {
    for (const RunPlace& run : present.runs) named.insert(runs_.Head(run).source_set);
  }
  std::erase_if(orphans_, [&](const SourceSet& set) {
    if (named.contains(set.id)) return false;
    ReleaseSources(set);
    return true;
  });
  runs_.ForgetUnused();
  std::vector<Address> addresses;
  for (auto& [address, roles] : roles_) {
    roles.restored = 0;
    addresses.push_back(address);
  }
  for (const Address& address : addresses) {
    if (auto written = WriteRoles(address); !written) return written;
  }
  return {};
}

std::vector<datapath::Usage> Writer::Usages() const {
  return {
      {"frontends", frontends_.live(), frontends_.capacity()},
      {"backends", runs_.records().used(), runs_.records().capacity()},
      {"backend_ids", runs_.backend_ids().used(), runs_.backend_ids().capacity()},
      {"rings", uint64_t{runs_.ring_chunks().used()} * RING_CHUNK_SLOTS,
       uint64_t{runs_.ring_chunks().capacity()} * RING_CHUNK_SLOTS},
      {"services", service_ids_.used(), service_ids_.capacity()},
      {"source_ranges", source_range_count_, tables_.source_range_capacity},
  };
}

}  // namespace fairlead::ebpf
