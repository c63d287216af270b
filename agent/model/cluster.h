// SPDX-License-Identifier: Apache-2.0
// The cluster's present state as this agent needs it, and which services changed since last asked. Many
// updates collapse into one change per service. No I/O, no clock. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/kube/objects.h"

namespace fairlead::model {

class Cluster {
 public:
  using Slices = std::map<std::string, kube::EndpointSlice>;  // by slice name

  // `node` is this node's name; other Node objects are ignored.
  explicit Cluster(std::string node) : node_name_(std::move(node)) {}

  // Takes the update in. O(objects in it); a kReplace is compared with what stands, so that only real changes
  // make services dirty. Objects that are not of the update's kind are ignored.
  void Apply(kube::Update update);

  // True once every required kind (Service, EndpointSlice, Node) has been replaced at least once.
  bool Synced() const;
  // True while no kind's last kReplace was incomplete: what is not here does not exist.
  bool Complete() const { return incomplete_kinds_ == 0; }

  // Services to plan again, sorted, each once; the set is empty afterwards. A service is dirty when it or one
  // of its slices changed; it may be gone, or may never have been known (a slice that came first).
  std::vector<kube::ObjectName> TakeDirty();
  bool HasDirty() const { return !dirty_.empty(); }
  // True once after this Node's object or the ServiceCIDRs changed in anything that is kept of them: for the
  // plan (zone, addresses, ranges) or for the health answers (marks of a node that is about to go).
  bool TakeNodeChanged() { return std::exchange(node_changed_, false); }

  // Pointers stand until the next Apply.
  const kube::Service* FindService(const kube::ObjectName& name) const;
  // Slices of a service by slice name; null if none. Headless and FQDN slices are not among them.
  const Slices* SlicesOf(const kube::ObjectName& service) const;
  const kube::Node* ThisNode() const { return node_ ? &*node_ : nullptr; }
  std::vector<Cidr> ServiceCidrs() const;  // sorted, each once
  // Every known service name, sorted (for a full re-plan).
  std::vector<kube::ObjectName> ServiceNames() const;
  // Slices that name a service nobody has. Usual for a moment around creation and deletion, and for services
  // left to another proxy; for debug output. O(services).
  std::vector<kube::ObjectName> SlicesWithoutService() const;

  size_t service_count() const { return services_.size(); }
  size_t slice_count() const { return slice_service_.size(); }

 private:
  void Upsert(kube::Object object);
  void UpsertService(kube::Service service);
  void UpsertSlice(kube::EndpointSlice slice);
  void UpsertServiceCidr(kube::ServiceCidr service_cidr);
  void SetNode(std::optional<kube::Node> node);

  void Delete(kube::Kind kind, const kube::ObjectName& name);
  void DeleteSlice(const kube::ObjectName& name);
  void Replace(kube::Kind kind, std::vector<kube::Object> objects);

  std::string node_name_;
  std::map<kube::ObjectName, kube::Service> services_;
  std::map<kube::ObjectName, Slices> slices_;              // by service; never an empty inner map
  std::map<kube::ObjectName, std::string> slice_service_;  // slice -> its service, in the slice's namespace
  std::map<kube::ObjectName, kube::ServiceCidr> service_cidrs_;
  std::optional<kube::Node> node_;
  bool node_changed_ = false;
  std::set<kube::ObjectName> dirty_;
  uint8_t synced_kinds_ = 0;      // bit per kube::Kind
  uint8_t incomplete_kinds_ = 0;  // of those, whose last kReplace was not all
};

}  // namespace fairlead::model
