// SPDX-License-Identifier: Apache-2.0
#include "agent/run/metrics.h"

#include <prometheus/text_serializer.h>

#include "agent/run/exposition.h"

namespace fairlead::run {

namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// kube-proxy's: 1 ms doubled 14 times.
Buckets SyncBuckets() {
  Buckets buckets;
  for (int i = 0; i < 15; ++i) buckets.push_back(0.001 * (1 << i));
  return buckets;
}

// kube-proxy's: fine around a second, coarse to five minutes.
Buckets ProgrammingBuckets() {
  Buckets buckets = {0.25, 0.5};
  for (int s = 1; s < 60; ++s) buckets.push_back(s);
  for (int s = 60; s < 120; s += 5) buckets.push_back(s);
  for (int s = 120; s <= 300; s += 30) buckets.push_back(s);
  return buckets;
}

// 10 us to 10 s, three a decade.
Buckets FlipBuckets() {
  return {10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3,
          20e-3, 50e-3, 0.1,   0.2,    0.5,    1,      2,    5,    10};
}

constexpr size_t kMostBadSources = 64;

}  // namespace

Metrics::PerFamily Metrics::MakeFamily(prometheus::Registry& registry, Family family) {
  const prometheus::Labels labels = {{"ip_family", std::string(FamilyName(family))}};
  auto histogram = [&](const char* name, const char* help, Buckets buckets) -> prometheus::Histogram& {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, std::move(buckets));
  };
  auto gauge = [&](const char* name, const char* help) -> prometheus::Gauge& {
    return BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  };
  auto no_local = [&](const char* policy) -> prometheus::Gauge& {
    return BuildGauge()
        .Name("kubeproxy_sync_proxy_rules_no_local_endpoints_total")
        .Help("Service ports with a Local policy and endpoints elsewhere but none on this node")
        .Register(registry)
        .Add({{"ip_family", std::string(FamilyName(family))}, {"traffic_policy", policy}});
  };
  return {
      histogram("kubeproxy_sync_proxy_rules_duration_seconds", "Time of a sync of the datapath",
                SyncBuckets()),
      histogram("kubeproxy_sync_full_proxy_rules_duration_seconds", "Time of a sync over everything",
                SyncBuckets()),
      histogram("kubeproxy_sync_partial_proxy_rules_duration_seconds", "Time of a sync over what changed",
                SyncBuckets()),
      gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When the last sync ended"),
      gauge("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "When the last change came in"),
      histogram("kubeproxy_network_programming_duration_seconds",
                "Time from the change of an endpoint to its effect on this node", ProgrammingBuckets()),
      no_local("internal"),
      no_local("external"),
  };
}

Metrics::Metrics()
    : ipv4_(MakeFamily(registry_, Family::kIpv4)),
      ipv6_(MakeFamily(registry_, Family::kIpv6)),
      endpoint_changes_pending(BuildGauge()
                                   .Name("kubeproxy_sync_proxy_rules_endpoint_changes_pending")
                                   .Help("Endpoint changes that wait for a sync")
                                   .Register(registry_)
                                   .Add({})),
      endpoint_changes(BuildCounter()
                           .Name("kubeproxy_sync_proxy_rules_endpoint_changes_total")
                           .Help("Endpoint changes seen")
                           .Register(registry_)
                           .Add({})),
      service_changes_pending(BuildGauge()
                                  .Name("kubeproxy_sync_proxy_rules_service_changes_pending")
                                  .Help("Service changes that wait for a sync")
                                  .Register(registry_)
                                  .Add({})),
      service_changes(BuildCounter()
                          .Name("kubeproxy_sync_proxy_rules_service_changes_total")
                          .Help("Service changes seen")
                          .Register(registry_)
                          .Add({})),
      wire_to_flip(BuildHistogram()
                       .Name("fairlead_wire_to_flip_seconds")
                       .Help("Time from the last byte of an event to its effect")
                       .Register(registry_)
                       .Add({}, FlipBuckets())),
      healthz_(BuildCounter()
                   .Name("kubeproxy_proxy_healthz_total")
                   .Help("Answers of /healthz by status code")
                   .Register(registry_)),
      livez_(BuildCounter()
                 .Name("kubeproxy_proxy_livez_total")
                 .Help("Answers of /livez by status code")
                 .Register(registry_)),
      bad_objects_(BuildCounter()
                       .Name("fairlead_bad_objects_total")
                       .Help("Objects and files refused, by where they came from")
                       .Register(registry_)),
      mode_(BuildGauge()
                .Name("fairlead_proxy_mode_info")
                .Help("The datapath in use and why, as labels of a constant 1")
                .Register(registry_)),
      flow_passes_(BuildHistogram()
                       .Name("kubeproxy_conntrack_reconciler_sync_duration_seconds")
                       .Help("Time of a pass over nf_conntrack for entries that no longer fit")
                       .Register(registry_)) {
  BuildGauge()
      .Name("fairlead_build_info")
      .Help("The version, as a label of a constant 1")
      .Register(registry_)
      .Add({{"version", FAIRLEAD_VERSION}})
      .Set(1);
}

void Metrics::ObserveFlowPass(Family family, double seconds) {
  flow_passes_.Add({{"ip_family", std::string(FamilyName(family))}}, SyncBuckets()).Observe(seconds);
}

void Metrics::CountHealthz(int status) {
  healthz_.Add({{"code", std::to_string(status)}}).Increment();
}
void Metrics::CountLivez(int status) {
  livez_.Add({{"code", std::to_string(status)}}).Increment();
}

void Metrics::CountBadObject(std::string_view source) {
  std::string label(source.substr(0, source.find(':')));
  {
    std::lock_guard lock(mutex_);
    if (!bad_sources_.contains(label)) {
      if (bad_sources_.size() < kMostBadSources) {
        bad_sources_.insert(label);
      } else {
        label = "other";
      }
    }
  }
  bad_objects_.Add({{"source", label}}).Increment();
}

void Metrics::SetMode(const std::string& mode, const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (present_mode_ != nullptr) mode_.Remove(present_mode_);
  present_mode_ = &mode_.Add({{"mode", mode}, {"reason", reason}});
  present_mode_->Set(1);
}

void Metrics::AddReader(std::function<void(Readings&)> read) {
  std::lock_guard lock(mutex_);
  readers_.push_back(std::move(read));
}

std::string Metrics::Expose() const {
  Readings readings;
  {
    std::lock_guard lock(mutex_);
    for (const auto& read : readers_) read(readings);
  }
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  AppendReadings(readings, families);
  AppendProcess(families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace fairlead::run
