// SPDX-License-Identifier: Apache-2.0
#include "agent/model/cluster.h"

#include <algorithm>
#include <type_traits>

namespace fairlead::model {

using kube::Kind;
using kube::ObjectName;

namespace {

constexpr uint8_t Bit(Kind kind) {
  return static_cast<uint8_t>(1u << static_cast<unsigned>(kind));
}

constexpr uint8_t kRequiredKinds = Bit(Kind::kService) | Bit(Kind::kEndpointSlice) | Bit(Kind::kNode);

// A slice that serves nobody is as if absent.
bool Counts(const kube::EndpointSlice& slice) {
  return !slice.service.empty() && !slice.headless && !slice.fqdn;
}

// Names in `present` that are not in `kept` (sorted).
template <typename Map>
std::vector<ObjectName> Missing(const Map& present, const std::vector<ObjectName>& kept) {
  std::vector<ObjectName> missing;
  for (const auto& [name, value] : present) {
    if (!std::binary_search(kept.begin(), kept.end(), name)) missing.push_back(name);
  }
  return missing;
}

}  // namespace

void Cluster::Apply(kube::Update update) {
  std::erase_if(update.objects,
                [&](const kube::Object& object) { return kube::KindOf(object) != update.kind; });
  switch (update.type) {
    case kube::Update::Type::kUpsert:
      for (kube::Object& object : update.objects) Upsert(std::move(object));
      break;
    case kube::Update::Type::kDelete:
      Delete(update.kind, update.name);
      break;
    case kube::Update::Type::kReplace:
      incomplete_kinds_ = static_cast<uint8_t>(update.complete ? incomplete_kinds_ & ~Bit(update.kind)
                                                               : incomplete_kinds_ | Bit(update.kind));
      Replace(update.kind, std::move(update.objects));
      break;
  }
}

bool Cluster::Synced() const {
  return (synced_kinds_ & kRequiredKinds) == kRequiredKinds;
}

std::vector<ObjectName> Cluster::TakeDirty() {
  std::vector<ObjectName> taken;
  taken.reserve(dirty_.size());
  while (!dirty_.empty()) taken.push_back(std::move(dirty_.extract(dirty_.begin()).value()));
  return taken;
}

const kube::Service* Cluster::FindService(const ObjectName& name) const {
  auto it = services_.find(name);
  return it == services_.end() ? nullptr : &it->second;
}

const Cluster::Slices* Cluster::SlicesOf(const ObjectName& service) const {
  auto it = slices_.find(service);
  return it == slices_.end() ? nullptr : &it->second;
}

std::vector<Cidr> Cluster::ServiceCidrs() const {
  std::set<Cidr> all;
  for (const auto& [name, object] : service_cidrs_) all.insert(object.cidrs.begin(), object.cidrs.end());
  return {all.begin(), all.end()};
}

std::vector<ObjectName> Cluster::ServiceNames() const {
  std::vector<ObjectName> names;
  names.reserve(services_.size());
  for (const auto& [name, service] : services_) names.push_back(name);
  return names;
}

std::vector<ObjectName> Cluster::SlicesWithoutService() const {
  std::vector<ObjectName> orphans;
  for (const auto& [service, slices] : slices_) {
    if (services_.contains(service)) continue;
    for (const auto& [name, slice] : slices) orphans.push_back(slice.name);
  }
  return orphans;
}

void Cluster::Upsert(kube::Object object) {
  std::visit(
      [this](auto&& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, kube::Service>) {
          UpsertService(std::move(o));
        } else if constexpr (std::is_same_v<T, kube::EndpointSlice>) {
          UpsertSlice(std::move(o));
        } else if constexpr (std::is_same_v<T, kube::ServiceCidr>) {
          UpsertServiceCidr(std::move(o));
        } else if (o.name.name == node_name_) {
          SetNode(std::move(o));
        }
      },
      std::move(object));
}

void Cluster::UpsertService(kube::Service service) {
  auto [it, added] = services_.try_emplace(service.name);
  if (!added && it->second == service) return;
  it->second = std::move(service);
  dirty_.insert(it->first);
}

void Cluster::UpsertSlice(kube::EndpointSlice slice) {
  if (!Counts(slice)) {
    DeleteSlice(slice.name);
    return;
  }
  auto owner = slice_service_.find(slice.name);
  if (owner != slice_service_.end() && owner->second != slice.service) {
    DeleteSlice(slice.name);
    owner = slice_service_.end();
  }
  if (owner == slice_service_.end()) slice_service_.emplace(slice.name, slice.service);
  ObjectName service{slice.name.ns, slice.service};
  auto [it, added] = slices_[service].try_emplace(slice.name.name);
  if (!added && it->second == slice) return;
  slice.endpoints.shrink_to_fit();
  it->second = std::move(slice);
  dirty_.insert(std::move(service));
}

void Cluster::UpsertServiceCidr(kube::ServiceCidr service_cidr) {
  auto [it, added] = service_cidrs_.try_emplace(service_cidr.name);
  if (!added && it->second == service_cidr) return;
  it->second = std::move(service_cidr);
  node_changed_ = true;
}

void Cluster::SetNode(std::optional<kube::Node> node) {
  if (node_ != node) node_changed_ = true;
  node_ = std::move(node);
}

void Cluster::Delete(Kind kind, const ObjectName& name) {
  switch (kind) {
    case Kind::kService:
      if (services_.erase(name) > 0) dirty_.insert(name);
      break;
    case Kind::kEndpointSlice:
      DeleteSlice(name);
      break;
    case Kind::kNode:
      if (name.name == node_name_) SetNode(std::nullopt);
      break;
    case Kind::kServiceCidr:
      if (service_cidrs_.erase(name) > 0) node_changed_ = true;
      break;
  }
}

void Cluster::DeleteSlice(const ObjectName& name) {
  auto owner = slice_service_.find(name);
  if (owner == slice_service_.end()) return;
  auto slices = slices_.find(ObjectName{name.ns, owner->second});
  slices->second.erase(name.name);
  dirty_.insert(slices->first);
  if (slices->second.empty()) slices_.erase(slices);
  slice_service_.erase(owner);
}

void Cluster::Replace(Kind kind, std::vector<kube::Object> objects) {
  std::vector<ObjectName> kept;
  kept.reserve(objects.size());
  for (const kube::Object& object : objects) kept.push_back(kube::NameOf(object));
  std::sort(kept.begin(), kept.end());

  std::vector<ObjectName> gone;
  if (kind == Kind::kService) gone = Missing(services_, kept);
  if (kind == Kind::kEndpointSlice) gone = Missing(slice_service_, kept);
  if (kind == Kind::kServiceCidr) gone = Missing(service_cidrs_, kept);
  if (kind == Kind::kNode && node_ && !std::binary_search(kept.begin(), kept.end(), node_->name)) {
    gone.push_back(node_->name);
  }
  for (const ObjectName& name : gone) Delete(kind, name);
  for (kube::Object& object : objects) Upsert(std::move(object));
  synced_kinds_ |= Bit(kind);
}

}  // namespace fairlead::model
