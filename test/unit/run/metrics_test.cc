// SPDX-License-Identifier: Apache-2.0
#include "agent/run/metrics.h"

#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include "agent/run/pages.h"
#include "agent/run/process.h"
#include "test/unit/run/http_client.h"

namespace fairlead::run {
namespace {

using testing::Contains;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::StartsWith;

// The lines of an exposition, so that a test looks at whole samples.
std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Metrics, KubeProxysNamesAreThereFromTheStartWithTypes) {
  const std::pair<const char*, const char*> names[] = {
      {"sync_proxy_rules_duration_seconds", "histogram"},
      {"sync_full_proxy_rules_duration_seconds", "histogram"},
      {"sync_partial_proxy_rules_duration_seconds", "histogram"},
      {"sync_proxy_rules_last_timestamp_seconds", "gauge"},
      {"sync_proxy_rules_last_queued_timestamp_seconds", "gauge"},
      {"network_programming_duration_seconds", "histogram"},
      {"sync_proxy_rules_endpoint_changes_pending", "gauge"},
      {"sync_proxy_rules_endpoint_changes_total", "counter"},
      {"sync_proxy_rules_service_changes_pending", "gauge"},
      {"sync_proxy_rules_service_changes_total", "counter"},
      {"sync_proxy_rules_no_local_endpoints_total", "gauge"},
  };
  std::vector<std::string> lines = Lines(Metrics().Expose());
  for (const auto& [name, type] : names) {
    EXPECT_THAT(lines, Contains(fmt::format("# TYPE kubeproxy_{} {}", name, type)));
  }
}

TEST(Metrics, FamiliesAreKeptApart) {
  Metrics metrics;
  metrics.Of(Family::kIpv4).sync.Observe(0.003);
  metrics.Of(Family::kIpv6).no_local_external.Set(2);
  metrics.Of(Family::kIpv6).last_sync.Set(1700000000);
  std::vector<std::string> lines = Lines(metrics.Expose());
  const char* sync = "kubeproxy_sync_proxy_rules_duration_seconds";
  EXPECT_THAT(lines, Contains(fmt::format("{}_count{{ip_family=\"IPv4\"}} 1", sync)));
  EXPECT_THAT(lines, Contains(fmt::format("{}_count{{ip_family=\"IPv6\"}} 0", sync)));
  EXPECT_THAT(lines, Contains(fmt::format("{}_bucket{{ip_family=\"IPv4\",le=\"0.002\"}} 0", sync)));
  EXPECT_THAT(lines, Contains(fmt::format("{}_bucket{{ip_family=\"IPv4\",le=\"0.004\"}} 1", sync)));
  EXPECT_THAT(lines,
              Contains(StartsWith(fmt::format("{}_bucket{{ip_family=\"IPv4\",le=\"16.384\"}}", sync))));
  EXPECT_THAT(lines,
              Contains("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv6\"} 1700000000"));
  const char* no_local = "kubeproxy_sync_proxy_rules_no_local_endpoints_total";
  EXPECT_THAT(lines, Contains(AllOf(StartsWith(no_local), HasSubstr("ip_family=\"IPv6\""),
                                    HasSubstr("traffic_policy=\"external\""), EndsWith(" 2"))));
  EXPECT_THAT(lines, Contains(AllOf(StartsWith(no_local), HasSubstr("ip_family=\"IPv4\""),
                                    HasSubstr("traffic_policy=\"external\""), EndsWith(" 0"))));
}

TEST(Metrics, ProgrammingLatencyHasKubeProxysBuckets) {
  Metrics metrics;
  metrics.Of(Family::kIpv4).programming.Observe(61);
  size_t buckets = 0;
  for (const std::string& line : Lines(metrics.Expose())) {
    buckets +=
        line.starts_with("kubeproxy_network_programming_duration_seconds_bucket{ip_family=\"IPv4\"") ? 1 : 0;
  }
  EXPECT_EQ(buckets, 2U + 59 + 12 + 7 + 1);  // 0.25 and 0.5; 1-59; 60-115; 120-300; +Inf
}

TEST(Metrics, WireToFlipGoesFromTenMicrosecondsToTenSeconds) {
  Metrics metrics;
  metrics.wire_to_flip.Observe(15e-6);
  std::vector<std::string> lines = Lines(metrics.Expose());
  EXPECT_THAT(lines, Contains("fairlead_wire_to_flip_seconds_bucket{le=\"1e-05\"} 0"));
  EXPECT_THAT(lines, Contains("fairlead_wire_to_flip_seconds_bucket{le=\"2e-05\"} 1"));
  EXPECT_THAT(lines, Contains("fairlead_wire_to_flip_seconds_bucket{le=\"10\"} 1"));
}

TEST(Metrics, ReadersAreAskedAtEveryExposition) {
  Metrics metrics;
  uint64_t total = 0;
  metrics.AddReader([&](Readings& readings) {
    readings.verdicts.push_back({"connect4", "translated", ++total});
    readings.tables.push_back({"frontends", 12, 65536});
    readings.written_bytes = 4096;
    readings.write_errors = 3;
    readings.pending_writes = 7;
  });
  metrics.AddReader([](Readings& readings) {
    readings.ids.push_back({"backend", 5});
    readings.watches.push_back({"EndpointSlice", true, 2, 1700000000.5});
  });
  metrics.Expose();
  std::vector<std::string> lines = Lines(metrics.Expose());
  for (const char* line : {
           "fairlead_verdicts_total{program=\"connect4\",verdict=\"translated\"} 2",
           "fairlead_map_entries{map=\"frontends\"} 12",
           "fairlead_map_capacity_entries{map=\"frontends\"} 65536",
           "fairlead_map_written_bytes_total 4096",
           "fairlead_map_write_errors_total 3",
           "fairlead_pending_writes 7",
           "fairlead_ids_in_use{kind=\"backend\"} 5",
           "fairlead_watch_connected{kind=\"EndpointSlice\"} 1",
           "fairlead_watch_relists_total{kind=\"EndpointSlice\"} 2",
           "fairlead_watch_last_event_timestamp_seconds{kind=\"EndpointSlice\"} 1700000000.5",
       }) {
    EXPECT_THAT(lines, Contains(line));
  }
}

// What a datapath by rules reads, with a value of its own in each field.
datapath::RuleReadings SomeRules(std::string_view datapath) {
  datapath::RuleReadings rules;
  rules.datapath = datapath;
  rules.tables = {{Family::kIpv6, "nat", 120, 7}};
  rules.failures[0] = 1;
  rules.partial_failures[1] = 2;
  rules.cleanup_failures[0] = 3;
  rules.flows_deleted[1] = 4;
  return rules;
}

TEST(Metrics, OfIptablesAreUnderKubeProxysNames) {
  Metrics metrics;
  metrics.AddReader([](Readings& readings) {
    readings.rules = SomeRules("iptables");
    readings.rules.invalid_dropped = 5;
    readings.rules.localhost_accepted = 6;
    readings.service_ports = {{"iptables", 9}};
  });
  metrics.ObserveFlowPass(Family::kIpv4, 0.003);
  std::vector<std::string> lines = Lines(metrics.Expose());
  for (const char* line : {
           "kubeproxy_sync_proxy_rules_iptables_total{ip_family=\"IPv6\",table=\"nat\"} 120",
           "kubeproxy_sync_proxy_rules_iptables_last{ip_family=\"IPv6\",table=\"nat\"} 7",
           "kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family=\"IPv4\"} 1",
           "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family=\"IPv6\"} 2",
           "kubeproxy_iptables_ct_state_invalid_dropped_packets_total 5",
           "kubeproxy_iptables_localhost_nodeports_accepted_packets_total 6",
           "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv6\"} 4",
           "kubeproxy_conntrack_reconciler_sync_duration_seconds_bucket{ip_family=\"IPv4\",le=\"0.004\"} 1",
           "fairlead_service_ports{datapath=\"iptables\"} 9",
       }) {
    EXPECT_THAT(lines, Contains(line));
  }
}

TEST(Metrics, OfNftablesNameNoIptables) {
  Metrics metrics;
  metrics.AddReader([](Readings& readings) { readings.rules = SomeRules("nftables"); });
  const std::string text = metrics.Expose();
  EXPECT_THAT(text,
              HasSubstr("kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family=\"IPv4\"} 3"));
  EXPECT_THAT(text, Not(HasSubstr("kubeproxy_sync_proxy_rules_iptables")));
  EXPECT_THAT(text, Not(HasSubstr("kubeproxy_iptables")));
}

TEST(Metrics, OfRulesAreAbsentWhereThereAreNone) {
  Metrics metrics;
  metrics.AddReader([](Readings& readings) { readings.rules = SomeRules("ebpf"); });
  const std::string text = metrics.Expose();
  for (const char* part : {"nftables", "iptables", "conntrack_reconciler"})
    EXPECT_THAT(text, Not(HasSubstr(part)));
}

TEST(Metrics, BadObjectsAreCountedBySourceWithoutLineNumbers) {
  Metrics metrics;
  metrics.CountBadObject("web.yaml:12");
  metrics.CountBadObject("web.yaml:40: spec");
  metrics.CountBadObject("services watch");
  std::vector<std::string> lines = Lines(metrics.Expose());
  EXPECT_THAT(lines, Contains("fairlead_bad_objects_total{source=\"web.yaml\"} 2"));
  EXPECT_THAT(lines, Contains("fairlead_bad_objects_total{source=\"services watch\"} 1"));
}

TEST(Metrics, ManyBadSourcesEndInOther) {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) metrics.CountBadObject(fmt::format("{}.yaml:1", i));
  metrics.CountBadObject("3.yaml");
  size_t series = 0;
  std::vector<std::string> lines = Lines(metrics.Expose());
  for (const std::string& line : lines) series += line.starts_with("fairlead_bad_objects_total{") ? 1 : 0;
  EXPECT_EQ(series, 65U);
  EXPECT_THAT(lines, Contains("fairlead_bad_objects_total{source=\"other\"} 936"));
  EXPECT_THAT(lines, Contains("fairlead_bad_objects_total{source=\"3.yaml\"} 2"));
}

TEST(Metrics, TheModeIsTheLastOneSaid) {
  Metrics metrics;
  metrics.SetMode("nftables", "first");
  metrics.SetMode("ebpf", "kernel 6.1 has \"all\" of it");
  std::string text = metrics.Expose();
  EXPECT_THAT(
      Lines(text),
      Contains("fairlead_proxy_mode_info{mode=\"ebpf\",reason=\"kernel 6.1 has \\\"all\\\" of it\"} 1"));
  EXPECT_THAT(text, Not(HasSubstr("nftables")));
}

TEST(Metrics, TheProcessAndTheBuildAreThere) {
  std::vector<std::string> lines = Lines(Metrics().Expose());
  EXPECT_THAT(lines, Contains("fairlead_build_info{version=\"" FAIRLEAD_VERSION "\"} 1"));
  for (const char* name :
       {"process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds ",
        "process_max_fds ", "process_virtual_memory_bytes ", "process_start_time_seconds "}) {
    EXPECT_THAT(lines, Contains(StartsWith(name)));
  }
}

TEST(Metrics, EveryNameHasOneTypeLine) {
  Metrics metrics;
  metrics.CountHealthz(200);
  metrics.CountLivez(503);
  std::set<std::string> seen;
  for (const std::string& line : Lines(metrics.Expose())) {
    if (!line.starts_with("# TYPE ")) continue;
    EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
  }
  EXPECT_GE(seen.size(), 20U);
}

TEST(Process, UseIsThatOfThisProcess) {
  auto before = ReadProcessUse();
  ASSERT_TRUE(before) << before.error().message;
  auto now = static_cast<double>(
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  EXPECT_GT(before->resident_bytes, 1U << 20);
  EXPECT_GE(before->virtual_bytes, before->resident_bytes);
  EXPECT_LT(now - before->start_time_s, 600);
  EXPECT_GT(now - before->start_time_s, -2);

  Fd extra(::socket(AF_INET, SOCK_STREAM, 0));
  std::vector<char> memory(64 << 20, 1);
  volatile double work = 0;
  for (int i = 0; i < 50'000'000; ++i) work = work + memory[static_cast<size_t>(i) % memory.size()];
  auto after = ReadProcessUse();
  ASSERT_TRUE(after);
  EXPECT_EQ(after->open_fds, before->open_fds + 1);
  EXPECT_GE(after->resident_bytes, before->resident_bytes + (60U << 20));
  EXPECT_GT(after->cpu_seconds, before->cpu_seconds);
}

TEST(Process, AnOomScoreOutOfRangeIsAnError) {
  auto set = SetOomScore(2000);
  ASSERT_FALSE(set);
  EXPECT_THAT(set.error().message, HasSubstr("oom_score_adj to 2000: Invalid argument"));
}

// --- the pages, over real sockets

class PagesTest : public testing::Test {
 protected:
  Health health_{std::chrono::seconds(10)};
  Metrics metrics_;
  Result<HttpServer> health_server_ = HttpServer::Listen("127.0.0.1:0", HealthPages(health_, metrics_));
  Result<HttpServer> metrics_server_ = HttpServer::Listen(
      "127.0.0.1:0",
      MetricsPages(metrics_, [] { return ModeChoice{"ebpf", "all there\r\nX-Evil: 1"}; }, "{\"a\": 1}"));
  void SetUp() override { ASSERT_TRUE(health_server_ && metrics_server_); }
};

TEST_F(PagesTest, HealthAnswersAreCountedByCode) {
  EXPECT_THAT(Get(health_server_->port(), "/healthz"), StartsWith("HTTP/1.1 503 "));
  health_.SetNodeEligible(true);
  EXPECT_THAT(Get(health_server_->port(), "/healthz"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Get(health_server_->port(), "/healthz"), HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(Get(health_server_->port(), "/livez"), StartsWith("HTTP/1.1 200 "));
  std::vector<std::string> lines = Lines(Body(Get(metrics_server_->port(), "/metrics")));
  EXPECT_THAT(lines, Contains("kubeproxy_proxy_healthz_total{code=\"503\"} 1"));
  EXPECT_THAT(lines, Contains("kubeproxy_proxy_healthz_total{code=\"200\"} 2"));
  EXPECT_THAT(lines, Contains("kubeproxy_proxy_livez_total{code=\"200\"} 1"));
}

TEST_F(PagesTest, TheHealthListenerServesNothingElse) {
  for (const char* path : {"/metrics", "/configz", "/proxyMode", "/"}) {
    EXPECT_THAT(Get(health_server_->port(), path), StartsWith("HTTP/1.1 404 ")) << path;
  }
}

TEST_F(PagesTest, MetricsAreOfPrometheusContentType) {
  EXPECT_THAT(Get(metrics_server_->port(), "/metrics"),
              HasSubstr("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
}

TEST_F(PagesTest, ProxyModeIsTheNameAloneAndTheReasonAHeader) {
  std::string answer = Get(metrics_server_->port(), "/proxyMode");
  EXPECT_EQ(Body(answer), "ebpf");
  EXPECT_THAT(answer, HasSubstr("\r\nX-Fairlead-Reason: all there  X-Evil: 1\r\n"));
}

TEST_F(PagesTest, HealthzOfTheMetricsListenerIsOk) {
  EXPECT_EQ(Body(Get(metrics_server_->port(), "/healthz")), "ok");
}

TEST_F(PagesTest, ConfigzIsTheConfiguration) {
  std::string answer = Get(metrics_server_->port(), "/configz");
  EXPECT_EQ(Body(answer), "{\"a\": 1}");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: application/json\r\n"));
}

TEST(Metrics, FlowsAreToldByStateAndPortTriesAsAHistogram) {
  Metrics metrics;
  EXPECT_THAT(metrics.Expose(), Not(HasSubstr("fairlead_conntrack")));
  EXPECT_THAT(metrics.Expose(), Not(HasSubstr("fairlead_nat")));
  metrics.AddReader([](Readings& into) {
    into.flows.entries = {{"established", 10}, {"syn", 2}};
    into.flows.capacity = 64;
    into.flows.collected = 5;
    into.flows.source_ports = 33000;
    into.flows.port_tries = {7, 2, 1};  // the last: none was found
  });
  std::vector<std::string> lines = Lines(metrics.Expose());
  EXPECT_THAT(lines, Contains("fairlead_conntrack_entries{state=\"established\"} 10"));
  EXPECT_THAT(lines, Contains("fairlead_conntrack_entries{state=\"syn\"} 2"));
  EXPECT_THAT(lines, Contains("fairlead_conntrack_capacity_entries 64"));
  EXPECT_THAT(lines, Contains("fairlead_conntrack_collected_total 5"));
  EXPECT_THAT(lines, Contains("fairlead_conntrack_stuck_entries 0"));
  EXPECT_THAT(lines, Contains("fairlead_nat_source_ports 33000"));
  EXPECT_THAT(lines, Contains("# TYPE fairlead_nat_tries histogram"));
  EXPECT_THAT(lines, Contains("fairlead_nat_tries_bucket{le=\"0\"} 7"));
  EXPECT_THAT(lines, Contains("fairlead_nat_tries_bucket{le=\"1\"} 9"));
  EXPECT_THAT(lines, Contains("fairlead_nat_tries_bucket{le=\"+Inf\"} 10"));
  EXPECT_THAT(lines, Contains("fairlead_nat_tries_count 10"));
  EXPECT_THAT(lines, Contains("fairlead_nat_tries_sum 4"));
  EXPECT_THAT(lines, Contains("fairlead_nat_exhausted_total 1"));
}

}  // namespace
}  // namespace fairlead::run
