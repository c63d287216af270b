// SPDX-License-Identifier: Apache-2.0
#include "test/support/objects.h"

#include <cstdlib>

#include <spdlog/spdlog.h>

namespace fairlead::test {

namespace {

template <typename T>
T Must(Result<T> result) {
  if (!result) {
    spdlog::critical("test objects: {}", result.error().message);
    std::abort();
  }
  return *std::move(result);
}

}  // namespace

Address Addr(std::string_view text) {
  return Must(Address::Parse(text));
}

Cidr Range(std::string_view text) {
  return Must(Cidr::Parse(text));
}

kube::ObjectName Name(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {"", std::string(text)};
  return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

Service::Service(std::string_view name) {
  object_.name = Name(name);
}

Service& Service::ClusterIp(std::string_view address) {
  object_.cluster_ips.push_back(Addr(address));
  return *this;
}

Service& Service::Port(std::string_view name, uint16_t port, uint16_t target) {
  object_.ports.push_back(
      {.name = std::string(name), .protocol = Protocol::kTcp, .port = port, .node_port = 0});
  targets_.push_back(target != 0 ? target : port);
  return *this;
}

Service& Service::Udp() {
  object_.ports.back().protocol = Protocol::kUdp;
  return *this;
}

Service& Service::Sctp() {
  object_.ports.back().protocol = Protocol::kSctp;
  return *this;
}

Service& Service::NodePort(uint16_t port) {
  object_.ports.back().node_port = port;
  if (object_.type != kube::ServiceType::kLoadBalancer) object_.type = kube::ServiceType::kNodePort;
  return *this;
}

Service& Service::ExternalIp(std::string_view address) {
  object_.external_ips.push_back(Addr(address));
  return *this;
}

Service& Service::LoadBalancerIp(std::string_view address) {
  object_.load_balancer_ips.push_back(Addr(address));
  return LoadBalancer();
}

Service& Service::LoadBalancer() {
  return Type(kube::ServiceType::kLoadBalancer);
}

Service& Service::SourceRange(std::string_view cidr) {
  object_.source_ranges.push_back(Range(cidr));
  return *this;
}

Service& Service::InternalLocal(bool local) {
  object_.internal_local = local;
  return *this;
}

Service& Service::ExternalLocal(bool local) {
  object_.external_local = local;
  return *this;
}

Service& Service::Affinity(uint32_t timeout_s) {
  object_.affinity_timeout_s = timeout_s;
  return *this;
}

Service& Service::HealthCheckNodePort(uint16_t port) {
  object_.health_check_node_port = port;
  return *this;
}

Service& Service::Setting(std::string_view name, std::string_view value) {
  object_.settings.insert_or_assign(std::string(name), std::string(value));
  return *this;
}

Service& Service::CreatedAt(int64_t unix_s) {
  object_.creation_time_s = unix_s;
  return *this;
}

Service& Service::Type(kube::ServiceType type) {
  object_.type = type;
  return *this;
}

Service& Service::OtherProxy(bool other) {
  object_.other_proxy = other;
  return *this;
}

Slice::Slice(std::string_view service) {
  object_.name = Name(service);
  object_.service = object_.name.name;
  object_.name.name += "-1";
}

Slice& Slice::Named(std::string_view name) {
  object_.name.name = name;
  return *this;
}

Slice& Slice::Ipv6() {
  object_.family = Family::kIpv6;
  return *this;
}

Slice& Slice::Port(std::string_view name, uint16_t port) {
  object_.ports.push_back({.name = std::string(name), .protocol = Protocol::kTcp, .port = port});
  return *this;
}

Slice& Slice::Udp() {
  object_.ports.back().protocol = Protocol::kUdp;
  return *this;
}

Slice& Slice::Sctp() {
  object_.ports.back().protocol = Protocol::kSctp;
  return *this;
}

Slice& Slice::Endpoint(std::string_view address) {
  kube::Endpoint& endpoint = object_.endpoints.emplace_back();
  endpoint.address = Addr(address);
  if (object_.endpoints.size() == 1) object_.family = endpoint.address.GetFamily();
  return *this;
}

Slice& Slice::On(std::string_view node) {
  object_.endpoints.back().node_name = Symbol(node);
  return *this;
}

Slice& Slice::Ready(bool ready) {
  object_.endpoints.back().ready = ready;
  return *this;
}

Slice& Slice::Serving(bool serving) {
  object_.endpoints.back().serving = serving;
  return *this;
}

Slice& Slice::Terminating(bool terminating) {
  object_.endpoints.back().terminating = terminating;
  return *this;
}

Slice& Slice::Zone(std::string_view zone) {
  object_.endpoints.back().zone_hints.emplace_back(zone);
  return *this;
}

Slice& Slice::NodeHint(std::string_view node) {
  object_.endpoints.back().node_hints.emplace_back(node);
  return *this;
}

Slice& Slice::TriggerTime(int64_t unix_ns) {
  object_.trigger_time_ns = unix_ns;
  return *this;
}

Slice& Slice::Headless() {
  object_.headless = true;
  return *this;
}

Slice& Slice::Fqdn() {
  object_.fqdn = true;
  object_.endpoints.clear();
  return *this;
}

Slice& Slice::OfNoService() {
  object_.service.clear();
  return *this;
}

NodeObject::NodeObject(std::string_view name) {
  object_.name = Name(name);
}

NodeObject& NodeObject::Zone(std::string_view zone) {
  object_.zone = zone;
  return *this;
}

NodeObject& NodeObject::InternalIp(std::string_view address) {
  object_.internal_ips.push_back(Addr(address));
  return *this;
}

NodeObject& NodeObject::PodCidr(std::string_view cidr) {
  object_.pod_cidrs.push_back(Range(cidr));
  return *this;
}

kube::Object ServiceCidrs(std::string_view name, std::vector<std::string_view> cidrs) {
  kube::ServiceCidr object{.name = Name(name), .cidrs = {}};
  for (std::string_view cidr : cidrs) object.cidrs.push_back(Range(cidr));
  return object;
}

kube::Update Upsert(kube::Object object) {
  kube::Update update{.type = kube::Update::Type::kUpsert,
                      .kind = kube::KindOf(object),
                      .name = kube::NameOf(object),
                      .objects = {}};
  update.objects.push_back(std::move(object));
  return update;
}

kube::Update Delete(kube::Kind kind, std::string_view name) {
  return {.type = kube::Update::Type::kDelete, .kind = kind, .name = Name(name), .objects = {}};
}

kube::Update Replace(kube::Kind kind, std::vector<kube::Object> objects) {
  return {.type = kube::Update::Type::kReplace, .kind = kind, .name = {}, .objects = std::move(objects)};
}

}  // namespace fairlead::test
