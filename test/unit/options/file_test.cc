// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/config/field.h"
#include "test/unit/options/support.h"

namespace fairlead {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// What `kubeadm init` puts into the kube-proxy ConfigMap, mode left to the default.
constexpr const char* kKubeadm = R"(apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
)";

TEST(File, KubeadmsConfigMapIsReadWithoutNoise) {
  auto options = ReadWith(kKubeadm, {"--hostname-override=node-1"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->warnings, IsEmpty());
  Options expected;
  expected.bind_address = "0.0.0.0";
  expected.kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf";
  expected.cluster_cidr = "10.244.0.0/16";
  expected.hostname_override = "node-1";
  expected.capacities.flows = options->capacities.flows;  // by this machine's cores
  EXPECT_EQ(*options, expected);
}

TEST(File, BothDocumentsAreReadInEitherOrder) {
  std::string ours =
      std::string(kFairleadHead) + "capacities: {frontends: 131072, ringSlots: 64000}\nxdp: off\n";
  std::string theirs =
      std::string(kKubeProxyHead) + "mode: ebpf\nnodePortAddresses: [localhost, 10.0.0.0/8]\n";
  for (const std::string& text : {theirs + "---\n" + ours, "---\n" + ours + "---\n" + theirs + "---\n"}) {
    auto options = ReadWith(text);
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->capacities.frontends, 131072U);
    EXPECT_EQ(options->capacities.ring_slots, 64000U);
    EXPECT_EQ(options->capacities.backends, Capacities{}.backends);
    EXPECT_EQ(options->xdp, "off");
    EXPECT_EQ(options->proxy_mode, "ebpf");
    EXPECT_THAT(options->nodeport_addresses, ElementsAre("127.0.0.0/8", "::1/128", "10.0.0.0/8"));
    EXPECT_THAT(options->warnings, IsEmpty());
  }
}

TEST(File, ConntrackSettingsAreThoseOfTheFlowTable) {
  auto options =
      ReadWith(std::string(kKubeProxyHead) +
               "conntrack: {maxPerCore: 0, min: 7, tcpEstablishedTimeout: 1h, tcpCloseWaitTimeout: 2m,\n"
               "            udpTimeout: 3s, udpStreamTimeout: 4s}\n");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->conntrack, (ConntrackOptions{.max_per_core = 0,
                                                  .min = 7,
                                                  .tcp_established_timeout = std::chrono::hours(1),
                                                  .tcp_close_wait_timeout = std::chrono::minutes(2),
                                                  .udp_timeout = std::chrono::seconds(3),
                                                  .udp_stream_timeout = std::chrono::seconds(4)}));
  EXPECT_EQ(options->capacities.flows, Capacities{}.flows) << "no limit by core is asked for";
  EXPECT_THAT(options->warnings, IsEmpty());
}

TEST(File, TheFlowTableGrowsWithTheCoresUnlessItsCapacityIsGiven) {
  EXPECT_EQ(FlowCapacity({}, 1), 131072U);
  EXPECT_EQ(FlowCapacity({}, 64), 64U * 32768U);
  EXPECT_EQ(FlowCapacity({}, 100'000), kMostFlows);
  EXPECT_EQ(FlowCapacity({.max_per_core = 10, .min = 1000}, 4), 1000U);
  EXPECT_EQ(FlowCapacity({.max_per_core = 1000, .min = 10}, 4), 4000U);
  EXPECT_EQ(FlowCapacity({.max_per_core = 1, .min = 0}, 1), kFewestFlows);
  EXPECT_EQ(FlowCapacity({.max_per_core = 0, .min = 1}, 4), Capacities{}.flows);

  const std::string conntrack = std::string(kKubeProxyHead) + "conntrack: {maxPerCore: 1, min: 5000}\n---\n";
  auto computed = ReadWith(conntrack + kFairleadHead + "capacities: {flows: 0}\n");
  ASSERT_TRUE(computed) << computed.error().message;
  EXPECT_EQ(computed->capacities.flows, 5000U);
  auto given = ReadWith(conntrack + kFairleadHead + "capacities: {flows: 4000}\n");
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->capacities.flows, 4000U);
}

TEST(File, PodDeliveryAndTheNodePortRangeAreRead) {
  auto options =
      ReadWith(std::string(kFairleadHead) + "podDelivery: direct\nserviceNodePortRange: 20000-22767\n");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->pod_delivery, "direct");
  EXPECT_EQ(options->nodeport_range, "20000-22767");
  EXPECT_THAT(options->warnings, IsEmpty());
}

TEST(File, ABadNodePortRangeOrDeliveryIsRefused) {
  for (const char* range : {"30000", "0-1", "2-1", "1-65536", "1-2-3", "a-b", "-", " - "}) {
    auto options = ReadWith(std::string(kFairleadHead) + "serviceNodePortRange: \"" + range + "\"\n");
    ASSERT_FALSE(options) << range;
    EXPECT_THAT(options.error().message,
                AllOf(StartsWith("FILE:3: serviceNodePortRange: "), HasSubstr("such as 30000-32767")));
  }
  auto options = ReadWith(std::string(kFairleadHead) + "podDelivery: fast\n");
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().message, "FILE:3: podDelivery: expected stack or direct, got \"fast\"");
}

TEST(File, ADetectorWithoutAPrefixIsSaid) {
  auto options = ReadWith(std::string(kKubeProxyHead) + "detectLocalMode: ClusterCIDR\n");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->warnings, ElementsAre(HasSubstr("no clusterCIDR")));
  options = ReadWith(std::string(kKubeProxyHead) + "detectLocalMode: ClusterCIDR\nclusterCIDR: 10.0.0.0/8\n");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->warnings, IsEmpty());
}

TEST(File, TheSectionOfTheModeCounts) {
  const std::string text = std::string(kKubeProxyHead) +
                           "iptables: {syncPeriod: 11s, masqueradeBit: 1}\n"
                           "ipvs: {syncPeriod: 12s, scheduler: lc}\n"
                           "nftables: {syncPeriod: 13s, masqueradeBit: 3}\n";
  struct Case {
    const char* mode;
    int sync_period_s;
    int bit;
    std::vector<std::string> without_effect;
  };
  const Case cases[] = {
      {"", 11, 1, {"nftables.syncPeriod", "ipvs.syncPeriod", "nftables.masqueradeBit"}},
      {"ebpf", 11, 1, {"nftables.syncPeriod", "ipvs.syncPeriod", "nftables.masqueradeBit", "ipvs.scheduler"}},
      {"iptables",
       11,
       1,
       {"nftables.syncPeriod", "ipvs.syncPeriod", "nftables.masqueradeBit", "ipvs.scheduler"}},
      {"ipvs", 12, 1, {"iptables.syncPeriod", "nftables.syncPeriod", "nftables.masqueradeBit"}},
      {"nftables",
       13,
       3,
       {"iptables.syncPeriod", "ipvs.syncPeriod", "iptables.masqueradeBit", "ipvs.scheduler"}},
  };
  for (const Case& c : cases) {
    auto options = ReadWith(text + "mode: \"" + c.mode + "\"\n");
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_EQ(options->sync_period, std::chrono::seconds(c.sync_period_s)) << c.mode;
    EXPECT_EQ(options->masquerade_bit, c.bit) << c.mode;
    EXPECT_EQ(options->ipvs.scheduler, "lc");
    ASSERT_EQ(options->warnings.size(), c.without_effect.size()) << c.mode;
    for (size_t i = 0; i < c.without_effect.size(); ++i) {
      EXPECT_THAT(options->warnings[i], HasSubstr(c.without_effect[i] + ": has no effect in mode "))
          << c.mode;
    }
  }
}

TEST(File, WhatAsksForSomethingWithoutEffectIsSaidOnceWithItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"enableProfiling: true", "enableProfiling"},
      {"showHiddenMetricsForVersion: \"1.20\"", "showHiddenMetricsForVersion"},
      {"configSyncPeriod: 1m", "configSyncPeriod"},
      {"portRange: 1000-2000", "portRange"},
      {"udpIdleTimeout: 1s", "udpIdleTimeout"},
      {"windowsRunAsService: true", "windowsRunAsService"},
      {"featureGates: {SupportIPVSProxyMode: true}", "featureGates"},
      {"clientConnection: {qps: 50}", "clientConnection.qps"},
      {"clientConnection: {burst: 100}", "clientConnection.burst"},
      {"clientConnection: {contentType: text/plain}", "clientConnection.contentType"},
      {"clientConnection: {acceptContentTypes: text/plain}", "clientConnection.acceptContentTypes"},
      {"iptables: {snatNodeInternalIP: true}", "iptables.snatNodeInternalIP"},
      {"winkernel: {networkName: x}", "winkernel.networkName"},
      {"winkernel: {sourceVip: x}", "winkernel.sourceVip"},
      {"winkernel: {enableDSR: true}", "winkernel.enableDSR"},
      {"winkernel: {rootHnsEndpointName: x}", "winkernel.rootHnsEndpointName"},
      {"winkernel: {forwardHealthCheckVip: true}", "winkernel.forwardHealthCheckVip"},
      {"logging: {format: json}", "logging.format"},
      {"logging: {flushFrequency: 1s}", "logging.flushFrequency"},
      {"logging: {vmodule: [{filePattern: a, verbosity: 2}]}", "logging.vmodule"},
      {"logging: {options: {text: {splitStream: true}}}", "logging.options.text.splitStream"},
      {"logging: {options: {json: {infoBufferSize: 1Ki}}}", "logging.options.json.infoBufferSize"},
      {"bindAddress: 10.0.0.1", "bindAddress"},
  };
  for (const auto& [line, path] : cases) {
    auto options = ReadWith(std::string(kKubeProxyHead) + line + "\n");
    ASSERT_TRUE(options) << options.error().message;
    EXPECT_THAT(options->warnings, ElementsAre(StartsWith(fmt::format("FILE:3: {}: ", path)))) << line;
  }
}

TEST(File, ValuesThatAskForWhatHappensAnywayAreNotMentioned) {
  auto options =
      ReadWith(std::string(kKubeProxyHead) +
               "conntrack: {maxPerCore: 0, min: 131072, tcpEstablishedTimeout: 24h0m0s}\n"
               "clientConnection: {qps: 5, burst: 10, contentType: application/vnd.kubernetes.protobuf}\n"
               "configSyncPeriod: 15m0s\n"
               "logging: {format: text, flushFrequency: 5000000000}\n"
               "featureGates: {}\n");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->warnings, IsEmpty());
}

TEST(File, WrongOnesAreRefusedWithLineFieldAndExpectation) {
  struct Case {
    const char* text;  // after the two lines of the head
    const char* message;
  };
  const Case cases[] = {
      {"clusterCDIR: x",
       "FILE:3: \"clusterCDIR\": no such field in KubeProxyConfiguration (did you mean clusterCIDR?)"},
      {"removeKubeProxy: false",
       "FILE:3: \"removeKubeProxy\": no such field in KubeProxyConfiguration (it belongs into a document of "
       "kind "
       "FairleadConfiguration)"},
      {"mode: IPVS",
       "FILE:3: mode: expected one of auto, ebpf, nftables, ipvs or iptables, got \"IPVS\" (did you mean "
       "ipvs?)"},
      {"ipvs:\n  excludeCIDRs: [10.0.0.0/8, bad]",
       "FILE:4: ipvs.excludeCIDRs: expected a CIDR such as 10.244.0.0/16 or fd00::/48, got \"bad\""},
      {"ipvs:\n  tcpFinTimeout: 1000h",
       "FILE:4: ipvs.tcpFinTimeout: expected a duration of at most 596h31m23s, got \"1000h\""},
      {"conntrack:\n  tcpBeLiberal: yes",
       "FILE:4: conntrack.tcpBeLiberal: expected true or false, got \"yes\""},
      {"conntrack: []", "FILE:3: conntrack: expected a map, got a list"},
      {"mode: nftables\nnftables:\n  syncPeriod: 1s\n  minSyncPeriod: 5s",
       "FILE:6: nftables.minSyncPeriod: expected at most the sync period, which is 1s (FILE:5: "
       "nftables.syncPeriod), got 5s"},
      {"iptables:\n  syncperiod: 1s",
       "FILE:4: \"iptables.syncperiod\": no such field in KubeProxyConfiguration (did you mean "
       "iptables.syncPeriod?)"},
      {"iptables:\n  masqueradeBit: 40",
       "FILE:4: iptables.masqueradeBit: expected a whole number from 0 to 31, got \"40\""},
      {"iptables: 1", "FILE:3: iptables: expected a map, got \"1\""},
      {"iptables: [a]", "FILE:3: iptables: expected a map, got a list"},
      {"iptables:\n  masqueradeAll: \"true\"",
       "FILE:4: iptables.masqueradeAll: expected true or false, got the string \"true\""},
      {"iptables:\n  masqueradeAll: yes",
       "FILE:4: iptables.masqueradeAll: expected true or false, got \"yes\""},
      {"oomScoreAdj: \"5\"",
       "FILE:3: oomScoreAdj: expected a whole number from -1000 to 1000, got the string \"5\""},
      {"hostnameOverride: 12",
       "FILE:3: hostnameOverride: expected a string, got 12 (quote it if it is meant as one)"},
      {"hostnameOverride: {}", "FILE:3: hostnameOverride: expected a string, got a map"},
      {"nodePortAddresses: primary",
       "FILE:3: nodePortAddresses: expected a list of strings, got \"primary\""},
      {"nodePortAddresses:\n- 10.0.0.0/8\n- 10.0.0.1",
       "FILE:3: nodePortAddresses: expected CIDRs, primary, localhost or all, got \"10.0.0.1\""},
      {"nodePortAddresses: [[a]]", "FILE:3: nodePortAddresses: item 1: expected a string, got a list"},
      {"configSyncPeriod: 5",
       "FILE:3: configSyncPeriod: expected a duration such as 30s or 1m30s, got \"5\""},
      {"conntrack: {min: -1}",
       "FILE:3: conntrack.min: expected a whole number from 0 to 2147483647, got \"-1\""},
      {"featureGates: {A: 1}", "FILE:3: featureGates: A: expected true or false, got \"1\""},
      {"featureGates: [A]", "FILE:3: featureGates: expected a map of names to true or false, got a list"},
      {"detectLocal:\n  bridgeInterface: br/0",
       "FILE:4: detectLocal.bridgeInterface: expected a network device's name (at most 15 letters, digits "
       "and "
       "\"._@-\"), got \"br/0\""},
      {"detectLocal:\n  interfaceNamePrefix: 've\"th'",
       "FILE:4: detectLocal.interfaceNamePrefix: expected how names of network devices begin (at most 14 "
       "letters, digits and \"._@-\", no wildcard), got \"ve\\\"th\""},
      {"mode: userspace",
       "FILE:3: mode: expected one of auto, ebpf, nftables, ipvs or iptables, got \"userspace\""},
      {"mode: ipvs\nmode: ipvs", "FILE:4: mode: is there twice"},
      {"ipvs: {excludeCIDRs: [x]}",
       "FILE:3: ipvs.excludeCIDRs: expected a CIDR such as 10.244.0.0/16 or fd00::/48, got \"x\""},
      {"bindAddress: host", "FILE:3: bindAddress: expected an IP address, got \"host\""},
      {"? [a]\n: b", "FILE:3: expected a field name"},
  };
  for (const Case& c : cases) {
    auto options = ReadWith(std::string(kKubeProxyHead) + c.text + "\n");
    ASSERT_FALSE(options) << c.text;
    EXPECT_EQ(options.error().message, c.message);
  }
}

TEST(File, CapacitiesHaveBounds) {
  const std::pair<const char*, const char*> cases[] = {
      {"frontends: 65537",
       "FILE:3: capacities.frontends: expected a power of two (such as 131072), got 65537"},
      {"frontends: 0", "FILE:3: capacities.frontends: expected a whole number from 16 to 8388608, got \"0\""},
      {"ringSlots: 1025", "FILE:3: capacities.ringSlots: expected a multiple of 32 (such as 2048), got 1025"},
      {"backends: 99999999999",
       "FILE:3: capacities.backends: expected a whole number from 64 to 33554432, got "
       "\"99999999999\""},
      {"services: many",
       "FILE:3: capacities.services: expected a whole number from 16 to 4194304, got \"many\""},
      {"flows: 63", "FILE:3: capacities.flows: expected 0 or at least 64, got 63"},
      {"reals: 1", "FILE:3: \"capacities.reals\": no such field in FairleadConfiguration"},
  };
  for (const auto& [line, message] : cases) {
    auto options = ReadWith(std::string(kFairleadHead) + "capacities: {" + line + "}\n");
    ASSERT_FALSE(options) << line;
    EXPECT_THAT(options.error().message, StartsWith(message));
  }
}

TEST(File, DocumentsOfAnotherKindAreRefused) {
  const std::pair<std::string, const char*> cases[] = {
      {"kind: KubeProxyConfiguration\n",
       "FILE:1: expected KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1"},
      {"apiVersion: v1\nkind: ConfigMap\n", "got kind \"ConfigMap\" of apiVersion \"v1\""},
      {"- 1\n", "FILE:1: expected a map with apiVersion and kind"},
      {"text\n", "FILE:1: expected a map with apiVersion and kind"},
      {std::string(kKubeProxyHead) + "---\n" + kKubeProxyHead,
       "a second document of kind KubeProxyConfiguration"},
      {std::string(kKubeProxyHead) + "iptables: {\n", "FILE:"},
      {std::string(kKubeProxyHead) + "a: *nowhere\n", "not YAML"},
      {"\x01\x02", "FILE:1"},
  };
  for (const auto& [text, message] : cases) {
    auto options = ReadWith(text);
    ASSERT_FALSE(options) << text;
    EXPECT_THAT(options.error().message, HasSubstr(message));
  }
}

TEST(File, AnEmptyOneIsTheDefaults) {
  auto options = ReadWith("");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(*options, Options{});
}

TEST(File, OneThatIsNotThereOrNotAFileIsRefusedByName) {
  auto absent = Read({"--config=/nonexistent/fairlead.yaml"});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().message, "--config: \"/nonexistent/fairlead.yaml\": No such file or directory");
  EXPECT_FALSE(Read({"--config=/proc"}));
}

TEST(File, OneTooLargeIsRefused) {
  auto options = ReadWith(std::string((1 << 20) + 1, '#'));
  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().message, HasSubstr("larger than 1048576 bytes"));
}

TEST(File, FlagsWinAndSayWhereKubeProxyWouldNot) {
  auto options = ReadWith(std::string(kKubeProxyHead) +
                              "clusterCIDR: 10.0.0.0/8\nhostnameOverride: a\nmode: ipvs\n"
                              "logging: {verbosity: 1}\niptables: {masqueradeAll: false}\n",
                          {"--cluster-cidr=11.0.0.0/8", "--hostname-override=b", "--proxy-mode=ipvs", "-v=3",
                           "--masquerade-all"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->cluster_cidr, "11.0.0.0/8");
  EXPECT_EQ(options->hostname_override, "b");
  EXPECT_EQ(options->verbosity, 3);
  EXPECT_TRUE(options->masquerade_all);
  EXPECT_THAT(
      options->warnings,
      ElementsAre("--cluster-cidr: taken instead of FILE:3: clusterCIDR; kube-proxy would take the file's"));
}

TEST(File, ManifestsWinOverAnApiServer) {
  auto options =
      ReadWith(std::string(kKubeProxyHead) + "clientConnection: {kubeconfig: /k}\n", {"--manifests=/m"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_THAT(options->warnings, ElementsAre(HasSubstr("instead of the API server")));
}

// --- WriteConfig

Options ReadBack(const Options& options) {
  auto read = ReadWith(WriteConfig(options));
  EXPECT_TRUE(read) << (read ? "" : read.error().message) << "\n" << WriteConfig(options);
  if (!read) return {};
  read->warnings.clear();
  return *std::move(read);
}

TEST(WriteConfig, DefaultsComeBack) {
  EXPECT_EQ(ReadBack(Options{}), Options{});
}

TEST(WriteConfig, EverySettingComesBackInEveryMode) {
  Options options;
  options.kubeconfig = "/etc/kube: \"config\"";
  options.master = "https://[fd00::1]:6443";
  options.hostname_override = "12";
  options.bind_address = "fd00::1";
  options.bind_address_hard_fail = true;
  options.nodeport_addresses = {"10.0.0.0/8", "primary"};
  options.cluster_cidr = "10.0.0.0/8,fd00::/48";
  options.masquerade_all = true;
  options.masquerade_bit = 0;
  options.detect_local_mode = "BridgeInterface";
  options.pod_bridge_interface = "cni0";
  options.pod_interface_name_prefix = "veth";
  options.localhost_nodeports = false;
  options.healthz_bind_address = "";
  options.metrics_bind_address = "[::1]:1";
  options.sync_period = std::chrono::milliseconds(90001);
  options.min_sync_period = std::chrono::milliseconds(1);
  options.same_node_hints = false;
  options.oom_score_adj = 5;
  options.ipvs = {.scheduler = "wlc",
                  .exclude_cidrs = {"10.0.0.0/8"},
                  .strict_arp = true,
                  .tcp_timeout = std::chrono::seconds(1),
                  .tcp_fin_timeout = std::chrono::seconds(2),
                  .udp_timeout = std::chrono::seconds(3)};
  options.verbosity = 4;
  options.manifests = "/m";
  options.context = "true";
  options.cgroup = "/c";
  options.bpffs_dir = "/b";
  options.devices = "eth*,bond0";
  options.pod_devices = "tap*";
  options.xdp = "off";
  options.default_algorithm = "maglev";
  options.refuse_external_ips = true;
  options.remove_kube_proxy = false;
  options.conntrack_tcp_be_liberal = true;
  options.capacities = {16, 64, 1024, 16, 16, 16, 64};
  options.conntrack = {.max_per_core = 0,
                       .min = 7,
                       .tcp_established_timeout = std::chrono::seconds(1),
                       .tcp_close_wait_timeout = std::chrono::seconds(2),
                       .udp_timeout = std::chrono::seconds(3),
                       .udp_stream_timeout = std::chrono::seconds(4)};
  options.pod_delivery = "direct";
  options.nodeport_range = "1-65535";
  options.netns_dirs = {"/x"};
  options.sysctl_dir = "/y";
  for (const char* mode : {"auto", "ebpf", "nftables", "ipvs", "iptables"}) {
    options.proxy_mode = mode;
    EXPECT_EQ(ReadBack(options), options) << mode;
  }
}

TEST(WriteConfig, JsonHasAnObjectAGroup) {
  Options options;
  options.cluster_cidr = "10.0.0.0/8";
  std::string json = WriteConfigJson(options);
  EXPECT_THAT(
      json, StartsWith("{\"kubeproxy.config.k8s.io\": {\"apiVersion\": \"kubeproxy.config.k8s.io/v1alpha1\", "
                       "\"kind\": \"KubeProxyConfiguration\", \"mode\": \"auto\""));
  EXPECT_THAT(json, HasSubstr("\"clusterCIDR\": \"10.0.0.0/8\""));
  EXPECT_THAT(json, HasSubstr("\"nodePortAddresses\": []"));
  EXPECT_THAT(json, HasSubstr("\"fairlead.io\": {"));
  EXPECT_THAT(json, HasSubstr("\"frontends\": 65536"));
}

}  // namespace
}  // namespace fairlead
