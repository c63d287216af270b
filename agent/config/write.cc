// SPDX-License-Identifier: Apache-2.0
// The Options as the documents they could have been read from.
#include <yaml-cpp/yaml.h>

#include "agent/config/duration.h"
#include "agent/config/text.h"
#include "agent/options.h"

namespace fairlead {

namespace {

// Texts are quoted throughout, so that none is taken for a number on the way back.
class Writer {
 public:
  explicit Writer(bool json) {
    out_.SetStringFormat(YAML::DoubleQuoted);
    if (json) {
      out_.SetMapFormat(YAML::Flow);
      out_.SetSeqFormat(YAML::Flow);
    }
    json_ = json;
  }

  template <typename T>
  void Field(const char* name, const T& value) {
    Key(name);
    out_ << value;
  }
  void Field(const char* name, std::chrono::milliseconds value) {
    Field(name, config::FormatDuration(value));
  }
  void Begin(const char* name) {
    Key(name);
    out_ << YAML::BeginMap;
  }
  void BeginDocument(const char* group, const char* version, const char* kind) {
    if (json_) {
      Key(group);
    } else {
      out_ << YAML::BeginDoc;
    }
    out_ << YAML::BeginMap;
    Field("apiVersion", fmt::format("{}/{}", group, version));
    Field("kind", std::string(kind));
  }
  void BeginMap() { out_ << YAML::BeginMap; }
  void End() { out_ << YAML::EndMap; }
  std::string Text() const { return out_.c_str(); }

 private:
  // Names are bare in YAML; JSON wants them quoted.
  void Key(const char* name) {
    out_ << YAML::Key;
    if (!json_) out_ << YAML::Auto;
    out_ << name << YAML::Value;
  }

  YAML::Emitter out_;
  bool json_ = false;
};

void WriteModes(Writer& out, const Options& options) {
  bool nftables = options.proxy_mode == "nftables";
  bool ipvs = options.proxy_mode == "ipvs";
  auto periods = [&] {
    out.Field("syncPeriod", options.sync_period);
    out.Field("minSyncPeriod", options.min_sync_period);
  };
  auto masquerade = [&] {
    out.Field("masqueradeAll", options.masquerade_all);
    out.Field("masqueradeBit", options.masquerade_bit);
  };
  out.Begin("iptables");
  out.Field("localhostNodePorts", options.localhost_nodeports);
  if (!nftables) masquerade();
  if (!nftables && !ipvs) periods();
  out.End();
  if (nftables) {
    out.Begin("nftables");
    masquerade();
    periods();
    out.End();
  }
  out.Begin("ipvs");
  out.Field("scheduler", options.ipvs.scheduler);
  out.Field("excludeCIDRs", options.ipvs.exclude_cidrs);
  out.Field("strictARP", options.ipvs.strict_arp);
  out.Field("tcpTimeout", options.ipvs.tcp_timeout);
  out.Field("tcpFinTimeout", options.ipvs.tcp_fin_timeout);
  out.Field("udpTimeout", options.ipvs.udp_timeout);
  if (ipvs) periods();
  out.End();
}

void WriteKubeProxy(Writer& out, const Options& options) {
  auto listener = [](const std::string& address) { return address.empty() ? std::string("off") : address; };
  out.BeginDocument("kubeproxy.config.k8s.io", "v1alpha1", "KubeProxyConfiguration");
  out.Field("mode", options.proxy_mode);
  out.Field("hostnameOverride", options.hostname_override);
  out.Field("bindAddress", options.bind_address);
  out.Field("bindAddressHardFail", options.bind_address_hard_fail);
  out.Field("healthzBindAddress", listener(options.healthz_bind_address));
  out.Field("metricsBindAddress", listener(options.metrics_bind_address));
  out.Field("clusterCIDR", options.cluster_cidr);
  out.Field("detectLocalMode", options.detect_local_mode);
  out.Begin("detectLocal");
  out.Field("bridgeInterface", options.pod_bridge_interface);
  out.Field("interfaceNamePrefix", options.pod_interface_name_prefix);
  out.End();
  out.Field("nodePortAddresses", options.nodeport_addresses);
  WriteModes(out, options);
  out.Begin("conntrack");
  out.Field("maxPerCore", options.conntrack.max_per_core);
  out.Field("min", options.conntrack.min);
  out.Field("tcpEstablishedTimeout", options.conntrack.tcp_established_timeout);
  out.Field("tcpCloseWaitTimeout", options.conntrack.tcp_close_wait_timeout);
  out.Field("udpTimeout", options.conntrack.udp_timeout);
  out.Field("udpStreamTimeout", options.conntrack.udp_stream_timeout);
  out.Field("tcpBeLiberal", options.conntrack_tcp_be_liberal);
  out.End();
  out.Begin("clientConnection");
  out.Field("kubeconfig", options.kubeconfig);
  out.End();
  out.Begin("featureGates");
  out.Field("PreferSameTrafficDistribution", options.same_node_hints);
  out.End();
  out.Begin("logging");
  out.Field("verbosity", options.verbosity);
  out.End();
  out.Field("oomScoreAdj", options.oom_score_adj);
  out.End();
}

void WriteFairlead(Writer& out, const Options& options) {
  out.BeginDocument("fairlead.io", "v1alpha1", "FairleadConfiguration");
  out.Field("manifests", options.manifests);
  out.Field("context", options.context);
  out.Field("master", options.master);
  out.Field("cgroup", options.cgroup);
  out.Field("bpffsDir", options.bpffs_dir);
  out.Field("sysctlDir", options.sysctl_dir);
  out.Field("devices", options.devices);
  out.Field("podDevices", options.pod_devices);
  out.Field("xdp", options.xdp);
  out.Field("podDelivery", options.pod_delivery);
  out.Field("serviceNodePortRange", options.nodeport_range);
  out.Field("netnsDirs", options.netns_dirs);
  out.Field("defaultAlgorithm", options.default_algorithm);
  out.Field("refuseExternalIPs", options.refuse_external_ips);
  out.Field("removeKubeProxy", options.remove_kube_proxy);
  out.Begin("capacities");
  out.Field("frontends", options.capacities.frontends);
  out.Field("backends", options.capacities.backends);
  out.Field("ringSlots", options.capacities.ring_slots);
  out.Field("services", options.capacities.services);
  out.Field("affinity", options.capacities.affinity);
  out.Field("sourceRanges", options.capacities.source_ranges);
  out.Field("flows", options.capacities.flows);
  out.End();
  out.End();
}

}  // namespace

std::string WriteConfig(const Options& options) {
  Writer out(false);
  WriteKubeProxy(out, options);
  WriteFairlead(out, options);
  return out.Text() + "\n";
}

std::string WriteConfigJson(const Options& options) {
  Writer out(true);
  out.BeginMap();
  WriteKubeProxy(out, options);
  WriteFairlead(out, options);
  out.End();
  return out.Text() + "\n";
}

}  // namespace fairlead
