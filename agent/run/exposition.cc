// SPDX-License-Identifier: Apache-2.0
#include "agent/run/exposition.h"

#include <bit>
#include <limits>

#include "agent/run/process.h"

namespace fairlead::run {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// A family in the making; one without samples is left out.
class FamilyOf {
 public:
  FamilyOf(MetricType type, const char* name, const char* help) {
    family_.type = type;
    family_.name = name;
    family_.help = help;
  }
  FamilyOf& Add(double value, std::vector<ClientMetric::Label> labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family_.metric.push_back(std::move(metric));
    return *this;
  }
  void AppendTo(std::vector<MetricFamily>& families) {
    if (!family_.metric.empty()) families.push_back(std::move(family_));
  }

 private:
  MetricFamily family_;
};

void AppendTables(const std::vector<Readings::Table>& tables, std::vector<MetricFamily>& families) {
  FamilyOf entries(MetricType::Gauge, "fairlead_map_entries", "Entries in use of a map");
  FamilyOf capacity(MetricType::Gauge, "fairlead_map_capacity_entries", "Entries a map can hold");
  for (const Readings::Table& table : tables) {
    entries.Add(static_cast<double>(table.entries), {{"map", table.name}});
    capacity.Add(static_cast<double>(table.capacity), {{"map", table.name}});
  }
  for (FamilyOf* family : {&entries, &capacity}) family->AppendTo(families);
}

void AppendWatches(const std::vector<Readings::Watch>& watches, std::vector<MetricFamily>& families) {
  FamilyOf connected(MetricType::Gauge, "fairlead_watch_connected", "1 while a watch is connected");
  FamilyOf relists(MetricType::Counter, "fairlead_watch_relists_total", "Times a kind was listed anew");
  FamilyOf last_event(MetricType::Gauge, "fairlead_watch_last_event_timestamp_seconds",
                      "When a watch last brought anything");
  for (const Readings::Watch& watch : watches) {
    connected.Add(watch.connected ? 1 : 0, {{"kind", watch.kind}});
    relists.Add(static_cast<double>(watch.relists), {{"kind", watch.kind}});
    last_event.Add(watch.last_event_s, {{"kind", watch.kind}});
  }
  for (FamilyOf* family : {&connected, &relists, &last_event}) family->AppendTo(families);
}

// Buckets by how many ports were taken before the one found, doubling; the flows beyond the last one found
// none.
void AppendPortTries(const std::vector<uint64_t>& tries, std::vector<MetricFamily>& families) {
  if (tries.empty()) return;
  ClientMetric metric;
  auto& histogram = metric.histogram;
  for (size_t taken = 0; taken < tries.size(); ++taken) {
    histogram.sample_count += tries[taken];
    histogram.sample_sum += static_cast<double>(taken * tries[taken]);
    const bool none = taken + 1 == tries.size();
    if (none || std::popcount(taken) <= 1) {
      const double bound = none ? std::numeric_limits<double>::infinity() : static_cast<double>(taken);
      histogram.bucket.push_back({histogram.sample_count, bound});
    }
  }
  families.push_back({"fairlead_nat_tries",
                      "Source ports of masqueraded flows that were taken before one was found",
                      MetricType::Histogram,
                      {std::move(metric)}});
  FamilyOf(MetricType::Counter, "fairlead_nat_exhausted_total", "Flows that found no source port")
      .Add(static_cast<double>(tries.back()))
      .AppendTo(families);
}

void AppendFlows(const Readings::Flows& flows, std::vector<MetricFamily>& families) {
  if (flows.entries.empty()) return;
  FamilyOf entries(MetricType::Gauge, "fairlead_conntrack_entries",
                   "Flow entries by state, two a flow, at the collector's last pass");
  for (const auto& [state, count] : flows.entries)
    entries.Add(static_cast<double>(count), {{"state", state}});
  entries.AppendTo(families);
  auto append = [&](MetricType type, const char* name, const char* help, uint64_t value) {
    FamilyOf(type, name, help).Add(static_cast<double>(value)).AppendTo(families);
  };
  append(MetricType::Gauge, "fairlead_conntrack_capacity_entries", "Flow entries there is room for",
         flows.capacity);
  append(MetricType::Counter, "fairlead_conntrack_collected_total", "Entries freed of flows that were over",
         flows.collected);
  append(MetricType::Gauge, "fairlead_conntrack_stuck_entries", "Entries lost to a writer that died",
         flows.stuck);
  append(MetricType::Gauge, "fairlead_nat_source_ports", "Ports that masqueraded flows may have",
         flows.source_ports);
  AppendPortTries(flows.port_tries, families);
}

// kube-proxy counts iptables' rules in ipvs mode as well.
void AppendIptables(const datapath::RuleReadings& rules, std::vector<MetricFamily>& families) {
  FamilyOf total(MetricType::Gauge, "kubeproxy_sync_proxy_rules_iptables_total", "Rules of ours in a table");
  FamilyOf last(MetricType::Gauge, "kubeproxy_sync_proxy_rules_iptables_last",
                "Rules written to a table by the last restore");
  for (const auto& table : rules.tables) {
    const std::vector<ClientMetric::Label> labels = {{"ip_family", std::string(FamilyName(table.family))},
                                                     {"table", std::string(table.table)}};
    total.Add(static_cast<double>(table.rules), labels);
    last.Add(static_cast<double>(table.written), labels);
  }
  FamilyOf invalid(MetricType::Counter, "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
                   "Forwarded packets that nf_conntrack found invalid and a rule of ours dropped");
  if (rules.invalid_dropped) invalid.Add(static_cast<double>(*rules.invalid_dropped));
  FamilyOf localhost(MetricType::Counter, "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
                     "Packets to NodePorts by way of 127.0.0.0/8");
  if (rules.localhost_accepted) localhost.Add(static_cast<double>(*rules.localhost_accepted));
  for (FamilyOf* family : {&total, &last, &invalid, &localhost}) family->AppendTo(families);
}

void AppendRules(const datapath::RuleReadings& rules, std::vector<MetricFamily>& families) {
  const auto by_family = [&](const char* name, const char* help, const uint64_t(&counts)[2]) {
    FamilyOf of(MetricType::Counter, name, help);
    for (Family family : {Family::kIpv4, Family::kIpv6}) {
      of.Add(static_cast<double>(counts[family == Family::kIpv6]),
             {{"ip_family", std::string(FamilyName(family))}});
    }
    of.AppendTo(families);
  };
  const bool nftables = rules.datapath == "nftables";
  if (!nftables && rules.datapath != "iptables" && rules.datapath != "ipvs") return;
  if (nftables) {
    by_family("kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "Transactions that were refused",
              rules.failures);
    by_family("kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
              "Removals of what was no longer needed that were refused", rules.cleanup_failures);
  } else {
    by_family("kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
              "Runs of iptables-restore that were refused", rules.failures);
    by_family("kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
              "Of those, such as held only what had changed", rules.partial_failures);
    AppendIptables(rules, families);
  }
  by_family("kubeproxy_conntrack_reconciler_deleted_entries_total",
            "Entries of nf_conntrack that were removed", rules.flows_deleted);
}

}  // namespace

void AppendReadings(const Readings& readings, std::vector<MetricFamily>& families) {
  FamilyOf verdicts(MetricType::Counter, "fairlead_verdicts_total", "Decisions of the BPF programs");
  for (const Readings::Verdict& verdict : readings.verdicts) {
    verdicts.Add(static_cast<double>(verdict.total),
                 {{"program", verdict.program}, {"verdict", verdict.verdict}});
  }
  verdicts.AppendTo(families);
  AppendTables(readings.tables, families);
  FamilyOf bytes(MetricType::Counter, "fairlead_map_written_bytes_total",
                 "Bytes the agent wrote to the maps");
  bytes.Add(static_cast<double>(readings.written_bytes), {}).AppendTo(families);
  FamilyOf errors(MetricType::Counter, "fairlead_map_write_errors_total",
                  "Changes that the maps did not take");
  errors.Add(static_cast<double>(readings.write_errors), {}).AppendTo(families);
  FamilyOf ids(MetricType::Gauge, "fairlead_ids_in_use", "Ids given out");
  for (const Readings::Ids& kind : readings.ids) {
    ids.Add(static_cast<double>(kind.in_use), {{"kind", kind.kind}});
  }
  ids.AppendTo(families);
  FamilyOf(MetricType::Gauge, "fairlead_pending_writes",
           "Service ports whose last change is not in the kernel yet")
      .Add(static_cast<double>(readings.pending_writes))
      .AppendTo(families);
  FamilyOf ports(MetricType::Gauge, "fairlead_service_ports",
                 "Service ports planned, by the datapath that serves them");
  for (const auto& [datapath, count] : readings.service_ports)
    ports.Add(static_cast<double>(count), {{"datapath", datapath}});
  ports.AppendTo(families);
  AppendRules(readings.rules, families);
  AppendWatches(readings.watches, families);
  AppendFlows(readings.flows, families);
}

void AppendProcess(std::vector<MetricFamily>& families) {
  auto use = ReadProcessUse();
  if (!use) return;
  auto append = [&](MetricType type, const char* name, const char* help, double value) {
    FamilyOf(type, name, help).Add(value).AppendTo(families);
  };
  append(MetricType::Counter, "process_cpu_seconds_total", "User and system CPU time", use->cpu_seconds);
  append(MetricType::Gauge, "process_resident_memory_bytes", "Resident memory",
         static_cast<double>(use->resident_bytes));
  append(MetricType::Gauge, "process_virtual_memory_bytes", "Virtual memory",
         static_cast<double>(use->virtual_bytes));
  append(MetricType::Gauge, "process_open_fds", "Open file descriptors", static_cast<double>(use->open_fds));
  append(MetricType::Gauge, "process_max_fds", "Most file descriptors allowed",
         static_cast<double>(use->max_fds));
  append(MetricType::Gauge, "process_start_time_seconds", "When the process started", use->start_time_s);
}

}  // namespace fairlead::run
