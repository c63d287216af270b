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
