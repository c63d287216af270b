// SPDX-License-Identifier: Apache-2.0
// What is measured, under kube-proxy's names where kube-proxy measures it, so that dashboards and alerts go
// on working (kubernetes pkg/proxy/metrics/metrics.go), and under fairlead_ otherwise. Members may be used
// from any thread.
// Counts of rules, and of nf_conntrack's entries, are there in the modes that have them. Left out is what
// kube-proxy counts of Go's runtime.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/address.h"
#include "agent/datapath/datapath.h"

namespace fairlead::run {

// What others keep count of, read when somebody asks. Totals count from the owner's start and never go down.
struct Readings {
  struct Verdict {
    std::string program, verdict;
    uint64_t total = 0;
  };
  struct Table {
    std::string name;
    uint64_t entries = 0;
    uint64_t capacity = 0;
  };
  struct Ids {
    std::string kind;  // "service", "backend"
    uint64_t in_use = 0;
  };
  struct Watch {
    std::string kind;  // "EndpointSlice"
    bool connected = false;
    uint64_t relists = 0;     // total
    double last_event_s = 0;  // Unix; 0: none yet
  };
  struct Flows {
    std::vector<std::pair<std::string, uint64_t>> entries;  // by state; a flow has two
    uint64_t capacity = 0;
    uint64_t collected = 0;  // total
    uint64_t stuck = 0;
    uint64_t source_ports = 0;
    std::vector<uint64_t>
        port_tries;  // [i]: flows that found a source port after i; the last: that found none
  };
  std::vector<Verdict> verdicts;
  std::vector<Table> tables;
  std::vector<Ids> ids;
  std::vector<Watch> watches;
  std::vector<std::pair<std::string, uint64_t>> service_ports;  // by the datapath that serves them
  datapath::RuleReadings rules;                                 // without a datapath's name: nobody's
  Flows flows;                                                  // without states: none are kept here
  uint64_t written_bytes = 0;                                   // to all tables, total
  uint64_t write_errors = 0;                                    // changes the kernel did not take, total
  uint64_t pending_writes = 0;  // service ports whose last change is not in the kernel yet
};

class Metrics {
  // Before everything that is registered with it.
  prometheus::Registry registry_;

 public:
  Metrics();

  // One IP family's part of kube-proxy's metrics.
  struct PerFamily {
    prometheus::Histogram& sync;           // seconds of any pass
    prometheus::Histogram& full_sync;      // of one over everything
    prometheus::Histogram& partial_sync;   // of one over what changed
    prometheus::Gauge& last_sync;          // Unix time a pass ended
    prometheus::Gauge& last_queued;        // Unix time a change came in
    prometheus::Histogram& programming;    // seconds from a slice's last-change-trigger-time to its effect
    prometheus::Gauge& no_local_internal;  // ports with usable endpoints, but none here, by policy
    prometheus::Gauge& no_local_external;
  };
  PerFamily& Of(Family family) { return family == Family::kIpv4 ? ipv4_ : ipv6_; }

 private:
  PerFamily ipv4_, ipv6_;

 public:
  prometheus::Gauge& endpoint_changes_pending;
  prometheus::Counter& endpoint_changes;
  prometheus::Gauge& service_changes_pending;
  prometheus::Counter& service_changes;

  // Seconds from the last byte of an event to the store that makes it effective.
  prometheus::Histogram& wire_to_flip;

  // A pass over nf_conntrack for entries that no longer fit.
  void ObserveFlowPass(Family family, double seconds);
  void CountHealthz(int status);
  void CountLivez(int status);
  // An object or file that was refused. `source` is where it came from ("services watch", "web.yaml:12");
  // what follows a colon is left out, and beyond 64 sources the rest is counted as "other", so that no folder
  // of bad files can fill a monitor's memory.
  void CountBadObject(std::string_view source);
  // The datapath in use, and why that one; replaces what was said before.
  void SetMode(const std::string& mode, const std::string& reason);

  // `read` adds to the readings at every Expose, on the thread that asks, until the Metrics are gone.
  void AddReader(std::function<void(Readings&)> read);

  // Prometheus' text format, version 0.0.4.
  std::string Expose() const;

 private:
  static PerFamily MakeFamily(prometheus::Registry& registry, Family family);

  prometheus::Family<prometheus::Counter>& healthz_;
  prometheus::Family<prometheus::Counter>& livez_;
  prometheus::Family<prometheus::Counter>& bad_objects_;
  prometheus::Family<prometheus::Gauge>& mode_;
  prometheus::Family<prometheus::Histogram>& flow_passes_;
  mutable std::mutex mutex_;  // guards what follows
  std::set<std::string, std::less<>> bad_sources_;
  prometheus::Gauge* present_mode_ = nullptr;
  std::vector<std::function<void(Readings&)>> readers_;
};

}  // namespace fairlead::run
