// SPDX-License-Identifier: Apache-2.0
// Node of v1 and ServiceCIDR of networking.k8s.io/v1.
#include "agent/kube/decode_kinds.h"

namespace fairlead::kube {

namespace {

std::vector<Cidr> ReadPodCidrs(const Value& pod_cidr, const Value& pod_cidrs) {
  std::vector<Cidr> cidrs;
  auto take = [&](const Value& value) {
    if (value.Text().empty()) return;
    if (auto cidr = Prefix(value)) cidrs.push_back(*cidr);
    value.reader().LeaveOut();
  };
  if (pod_cidr.reader().Failed()) return cidrs;
  if (pod_cidrs.Absent()) {
    take(pod_cidr);
  } else {
    pod_cidrs.ForEach(take);
  }
  return cidrs;
}

std::vector<Address> ReadInternalIps(const Value& addresses) {
  std::vector<Address> ips;
  addresses.ForEach([&](const Value& element) {
    auto [type, text] = element.Fields({"type", "address"});
    if (type.Text() == "InternalIP") {
      if (auto address = UnicastAddress(text)) ips.push_back(*address);
    }
    element.reader().LeaveOut();
  });
  return ips;
}

}  // namespace

Node DecodeNode(const Value& object) {
  Node node;
  node.name = object.reader().name;
  auto [metadata, spec, status] = object.Fields({"metadata", "spec", "status"});
  auto [labels, deletion] = metadata.Fields({"labels", "deletionTimestamp"});
  auto [zone] = labels.Fields({"topology.kubernetes.io/zone"});
  node.zone = zone.Text();
  node.being_deleted = !deletion.Absent();

  auto [pod_cidr, pod_cidrs, taints] = spec.Fields({"podCIDR", "podCIDRs", "taints"});
  node.pod_cidrs = ReadPodCidrs(pod_cidr, pod_cidrs);
  taints.ForEach([&](const Value& element) {
    auto [key] = element.Fields({"key"});
    if (key.Text() == "ToBeDeletedByClusterAutoscaler") node.to_be_deleted_taint = true;
  });
  auto [addresses] = status.Fields({"addresses"});
  node.internal_ips = ReadInternalIps(addresses);
  return node;
}

// A bad prefix refuses the object: which addresses the cluster owns must not be guessed.
ServiceCidr DecodeServiceCidr(const Value& object) {
  ServiceCidr result;
  result.name = object.reader().name;
  auto [spec] = object.Fields({"spec"});
  auto [cidrs] = spec.Fields({"cidrs"});
  cidrs.ForEach([&](const Value& element) {
    if (auto cidr = Prefix(element)) result.cidrs.push_back(*cidr);
  });
  return result;
}

}  // namespace fairlead::kube
