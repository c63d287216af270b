// SPDX-License-Identifier: Apache-2.0
// What the user asked for: flags over the two documents of --config over defaults. Every default has its
// reason beside it; names of flags and fields are kube-proxy's where kube-proxy has them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace fairlead {

// Sizes of the pinned tables. A table is full at its capacity: what is in it stays, what does not fit waits.
struct Capacities {
  uint32_t frontends = 65536;     // addresses x ports; 4 slots of 32 bytes each
  uint32_t backends = 524288;     // records of 32 bytes, all runs together, old and new during a change
  uint32_t ring_slots = 4194304;  // Maglev slots of 2 bytes
  uint32_t services = 65536;      // service ports
  uint32_t affinity = 65536;      // remembered clients (LRU)
  uint32_t source_ranges = 16384;
  uint32_t flows = 131072;  // through the packet path at a time, two entries of 128 bytes each; unless given,
                            // FlowCapacity of this machine

  friend bool operator==(const Capacities&, const Capacities&) = default;
};

// KubeProxyConfiguration's conntrack fields. In ebpf mode they are of our own flow table, nf_conntrack is
// left alone, and zero times leave our defaults, which are nf_conntrack's. In the other modes they are set on
// nf_conntrack (run/conntrack_settings.h), and zeros leave the kernel's.
struct ConntrackOptions {
  uint32_t max_per_core = 32768;  // flows a core; 0: the default of Capacities, whatever `min` says
  uint32_t min = 131072;          // flows at least, however few the cores
  std::chrono::milliseconds tcp_established_timeout{86400000};
  std::chrono::milliseconds tcp_close_wait_timeout{3600000};
  std::chrono::milliseconds udp_timeout{0};
  std::chrono::milliseconds udp_stream_timeout{0};

  friend bool operator==(const ConntrackOptions&, const ConntrackOptions&) = default;
};

// The table is mapped as one array, of less than 2 GiB.
inline constexpr uint32_t kFewestFlows = 64;
inline constexpr uint32_t kMostFlows = 1U << 22;

// Flows the table is made for on a machine with so many cores, as kube-proxy sizes nf_conntrack
// (getConntrackMax in cmd/kube-proxy/app/server_linux.go), within the bounds above.
uint32_t FlowCapacity(const ConntrackOptions& conntrack, uint32_t cores);

// What only ipvs mode reads. Zero times leave the kernel's.
struct IpvsOptions {
  std::string scheduler;                   // empty: rr
  std::vector<std::string> exclude_cidrs;  // virtual servers in these are somebody else's
  bool strict_arp = false;
  std::chrono::milliseconds tcp_timeout{0};
  std::chrono::milliseconds tcp_fin_timeout{0};
  std::chrono::milliseconds udp_timeout{0};

  friend bool operator==(const IpvsOptions&, const IpvsOptions&) = default;
};

struct Options {
  // --- kube-proxy's
  std::string config_file;
  std::string kubeconfig;
  std::string master;
  std::string hostname_override;  // empty: the host's name, lower case
  std::string proxy_mode = "auto";
  std::string bind_address;                     // empty: 0.0.0.0; its family is that of the default listeners
  bool bind_address_hard_fail = false;          // a listener that cannot open ends the agent
  std::vector<std::string> nodeport_addresses;  // CIDRs or "primary"; empty: every address
  std::string cluster_cidr;                     // one CIDR, or two of different families with a comma
  bool masquerade_all = false;
  int masquerade_bit = 14;        // of the packet mark; as kube-proxy, so that CNI plugins know it
  std::string detect_local_mode;  // empty: ClusterCIDR if cluster_cidr is set, else no detection
  std::string pod_bridge_interface;
  std::string pod_interface_name_prefix;
  bool localhost_nodeports = true;
  std::string healthz_bind_address = "0.0.0.0:10256";  // empty: not served
  std::string metrics_bind_address =
      "127.0.0.1:10249";  // empty: not served; loopback, as nobody is asked who they are
  std::chrono::milliseconds sync_period{30000};  // full level-triggered pass
  std::chrono::milliseconds min_sync_period{0};  // 0: an event takes effect at once
  bool same_node_hints = true;                   // gate PreferSameTrafficDistribution
  int oom_score_adj = -999;  // -1000..1000; as kube-proxy: nearly the last process to be killed
  IpvsOptions ipvs;
  ConntrackOptions conntrack;
  bool conntrack_tcp_be_liberal = false;  // nf_conntrack takes TCP segments outside of the window
  bool cleanup = false;
  std::string write_config_to;
  int verbosity = 0;

  // --- ours
  std::string manifests;
  std::string context;  // kubeconfig context
  std::string cgroup;   // empty: root of the cgroup2 mount
  std::string bpffs_dir = "/sys/fs/bpf/fairlead";
  std::string sysctl_dir = "/proc/sys";  // elsewhere in a container, which sees /proc/sys read-only
  std::string devices = "auto";
  std::string pod_devices;
  std::string xdp = "auto";
  // How packets from outside reach a pod here: "stack" through the node's own stack, where network policies
  // of other software act on them; "direct" past it, which is faster.
  std::string pod_delivery = "stack";
  std::string nodeport_range = "30000-32767";  // never taken as a source port; as the API server's flag
  bool dry_run = false;
  std::string default_algorithm = "random";
  bool refuse_external_ips = false;
  // Rules that kube-proxy left go once ours serve: it is what fairlead stands in for. Off where both run.
  bool remove_kube_proxy = true;
  Capacities capacities;
  std::vector<std::string> netns_dirs = {"/run/netns",
                                         "/var/run/docker/netns"};  // where pod namespaces are pinned

  std::vector<std::string> warnings;  // what was read but has no effect here; main logs each once

  friend bool operator==(const Options&, const Options&) = default;
};

// What the command line asked for instead of running.
struct Exit {
  int status = 0;
  std::string text;  // to stdout for status 0, else stderr
};

// Reads flags and, if named, the config file. kInvalid names the flag, or file, line and field; `options` is
// then as it was. --help and --version give an Exit.
//
// A flag wins over the file, whichever it is. kube-proxy does so for --hostname-override, --v, --master and
// --cleanup only and passes over its other flags without a word once there is a --config; where that
// difference shows, a warning names both places.
Result<std::optional<Exit>> ReadOptions(int argc, const char* const* argv, Options& options);

// The effective configuration as the two YAML documents of --config (for --write-config-to). Read back, it
// gives the same Options but for what only a command line can say: config_file, write_config_to, cleanup,
// dry_run.
std::string WriteConfig(const Options& options);

// The same as one JSON object by API group (for /configz).
std::string WriteConfigJson(const Options& options);

}  // namespace fairlead
