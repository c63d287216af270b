// SPDX-License-Identifier: Apache-2.0
// The fields of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1, up to Kubernetes 1.37) and the
// flags of kube-proxy that have an effect here. Zero values are kubeadm's way of writing "default" and stand
// for that.
#include <algorithm>
#include <cctype>
#include <iterator>
#include <set>

#include "agent/base/address.h"
#include "agent/config/duration.h"
#include "agent/config/take.h"
#include "agent/config/text.h"

namespace fairlead::config {

namespace {

using std::chrono::milliseconds;

constexpr auto kNatural = ReadInteger<0, 2147483647>;

// --- values that wait for Finish

template <typename T>
Take TakeSaid(ModeSection Draft::* section, Said<T> ModeSection::* member, Result<T> (*read)(const Value&),
              T zero) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto said = read(value);
    if (!said) return Unexpected(std::move(said).error());
    if (value.form == Value::Form::kFlag || *said != zero) draft.*section.*member = {*said, value.where};
    return {};
  };
}

Take TakePeriod(ModeSection Draft::* section, Said<milliseconds> ModeSection::* member) {
  return TakeSaid<milliseconds>(section, member, &AsDuration, milliseconds(0));
}

Take TakeMasqueradeAll(ModeSection Draft::* section) {
  return TakeSaid<bool>(section, &ModeSection::masquerade_all, &AsBool, false);
}

Result<int> ReadMarkBit(const Value& value) {
  auto bit = AsInteger(value, 0, 31);
  if (!bit) return Unexpected(std::move(bit).error());
  return static_cast<int>(*bit);
}

Take TakeMarkBit(ModeSection Draft::* section) {
  return TakeSaid<int>(section, &ModeSection::masquerade_bit, &ReadMarkBit, Options{}.masquerade_bit);
}

// An address to listen on. The empty text of a flag switches the listener off as in kube-proxy, that of the
// file stands for the default; "off" switches it off in both.
Take TakeBindAddress(std::optional<std::string> Draft::* member, int port) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto text = AsText(value);
    if (!text) return Unexpected(std::move(text).error());
    if (text->empty() && value.form != Value::Form::kFlag) return {};
    if (text->empty() || *text == "off") {
      draft.*member = "";
      return {};
    }
    auto address = NormalizeBindAddress(*text, port);
    if (!address) return Unexpected(std::move(address).error());
    draft.*member = *std::move(address);
    return {};
  };
}

Take TakePort(std::optional<int> Draft::* member) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto port = AsInteger(value, 0, 65535);
    if (!port) return Unexpected(std::move(port).error());
    draft.*member = static_cast<int>(*port);
    return {};
  };
}

// --- values of ipvs mode

template <typename T>
Take TakeIpvs(T IpvsOptions::* member, Result<T> (*read)(const Value&)) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto read_value = read(value);
    if (!read_value) return Unexpected(std::move(read_value).error());
    if (value.form == Value::Form::kFlag || *read_value != T{}) draft.ipvs_only.push_back(value.where);
    draft.options.ipvs.*member = *std::move(read_value);
    return {};
  };
}

Result<std::string> ReadScheduler(const Value& value) {
  static const std::vector<std::string_view> kSchedulers = {"rr", "wrr", "lc",  "wlc", "lblc", "lblcr",
                                                            "sh", "dh",  "sed", "nq",  "mh"};
  auto text = AsText(value);
  if (!text || text->empty() || std::ranges::find(kSchedulers, *text) != kSchedulers.end()) return text;
  return WrongWord(*text, kSchedulers);
}

// IPVS counts in jiffies, in an int; what every kernel takes, at 1000 a second.
Result<milliseconds> ReadIpvsTimeout(const Value& value) {
  constexpr std::chrono::seconds kMost{2147483};
  auto time = AsDuration(value);
  if (!time || *time <= kMost) return time;
  return Fail(ErrorKind::kInvalid, "expected a duration of at most {}, got {}", FormatDuration(kMost),
              Quote(value.text));
}

Result<std::vector<std::string>> ReadCidrs(const Value& value) {
  auto list = AsList(value);
  if (!list) return list;
  for (const std::string& item : *list) {
    if (auto checked = CheckCidr(item); !checked) return Unexpected(std::move(checked).error());
  }
  return list;
}

// --- the flow table

template <typename T>
Take TakeConntrack(T ConntrackOptions::* member, Result<T> (*read)(const Value&)) {
  return [=](Draft& draft, const Value& value) -> Result<void> {
    auto read_value = read(value);
    if (!read_value) return Unexpected(std::move(read_value).error());
    draft.options.conntrack.*member = *read_value;
    return {};
  };
}

Result<uint32_t> ReadCount(const Value& value) {
  auto count = kNatural(value);
  if (!count) return Unexpected(std::move(count).error());
  return static_cast<uint32_t>(*count);
}

// --- single values

Result<void> TakeHostname(Draft& draft, const Value& value) {
  auto text = AsText(value);
  if (!text) return Unexpected(std::move(text).error());
  if (text->empty() && value.form == Value::Form::kFlag && !value.text.empty()) {
    return Fail(ErrorKind::kInvalid, "expected a node name, got {}", Quote(value.text));
  }
  // Node names are DNS subdomains, so lower case.
  std::ranges::transform(*text, text->begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  draft.options.hostname_override = *std::move(text);
  return {};
}

Result<void> CheckClusterCidr(const std::string& text) {
  std::vector<std::string> items = SplitList(text);
  std::set<Family> families;
  for (const std::string& item : items) {
    if (auto checked = CheckCidr(item); !checked) return checked;
    families.insert(Cidr::Parse(item)->GetFamily());
  }
  if (families.size() == items.size()) return {};
  return Fail(ErrorKind::kInvalid, "expected one CIDR, or one of each family with a comma between, got {}",
              Quote(text));
}

Result<void> CheckIp(const std::string& text) {
  if (Address::Parse(text)) return {};
  return Fail(ErrorKind::kInvalid, "expected an IP address, got {}", Quote(text));
}

// What rules can name, without quotes and wildcards; the kernel's own limit is 15 (IFNAMSIZ less the NUL).
bool IsDeviceText(const std::string& text, size_t most) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("._@-").contains(c);
  };
  return text.size() <= most && std::ranges::all_of(text, allowed);
}

Result<void> CheckDevice(const std::string& text) {
  if (IsDeviceText(text, 15) && text != "." && text != "..") return {};
  return Fail(ErrorKind::kInvalid,
              "expected a network device's name (at most 15 letters, digits and \"._@-\"), got {}",
              Quote(text));
}

Result<void> CheckDevicePrefix(const std::string& text) {
  if (IsDeviceText(text, 14)) return {};
  return Fail(ErrorKind::kInvalid,
              "expected how names of network devices begin (at most 14 letters, digits and \"._@-\", no "
              "wildcard), got {}",
              Quote(text));
}

Result<void> TakeBindIp(Draft& draft, const Value& value) {
  if (auto taken = TakeText(&Options::bind_address, &CheckIp)(draft, value); !taken) return taken;
  auto address = Address::Parse(draft.options.bind_address);
  if (address && !address->IsUnspecified()) {
    draft.Warn(value.where,
               "only chooses the family of the default health and metrics listeners: the node's own "
               "address is taken from its Node object");
  }
  return {};
}

// Keywords "all" and "localhost" become the ranges they stand for.
Result<void> TakeNodePortAddresses(Draft& draft, const Value& value) {
  auto list = AsList(value);
  if (!list) return Unexpected(std::move(list).error());
  std::vector<std::string> ranges;
  for (const std::string& item : *list) {
    if (item == "all") {
      ranges.insert(ranges.end(), {"0.0.0.0/0", "::/0"});
    } else if (item == "localhost") {
      ranges.insert(ranges.end(), {"127.0.0.0/8", "::1/128"});
    } else if (item == "primary" || Cidr::Parse(item)) {
      ranges.push_back(item);
    } else {
      return Fail(ErrorKind::kInvalid, "expected CIDRs, primary, localhost or all, got {}", Quote(item));
    }
  }
  draft.options.nodeport_addresses = std::move(ranges);
  return {};
}

Result<void> TakeFeatureGates(Draft& draft, const Value& value) {
  auto gates = AsSwitches(value);
  if (!gates) return Unexpected(std::move(gates).error());
  std::string others;
  for (const auto& [name, on] : *gates) {
    if (name == "PreferSameTrafficDistribution") {
      draft.options.same_node_hints = on;
    } else {
      others += (others.empty() ? "" : ", ") + name;
    }
  }
  if (!others.empty()) {
    draft.Warn(value.where,
               fmt::format("no effect of {}: only PreferSameTrafficDistribution is known here", others));
  }
  return {};
}

Result<void> TakeOomScore(Draft& draft, const Value& value) {
  auto score = AsInteger(value, -1000, 1000);
  if (!score) return Unexpected(std::move(score).error());
  draft.options.oom_score_adj = static_cast<int>(*score);
  return {};
}

Result<void> TakeVerbosity(Draft& draft, const Value& value) {
  auto level = kNatural(value);
  if (!level) return Unexpected(std::move(level).error());
  draft.options.verbosity = static_cast<int>(*level);
  return {};
}

std::vector<Field> MakeFields() {
  using enum Shape;
  constexpr auto kIptables = &Draft::iptables;
  constexpr auto kIpvs = &Draft::ipvs;
  constexpr auto kNftables = &Draft::nftables;
  constexpr auto kFlags = &Draft::flags;
  constexpr auto kSync = &ModeSection::sync_period;
  constexpr auto kMinSync = &ModeSection::min_sync_period;

  std::vector<Field> fields = {
      // --- the cluster and this node
      {"clientConnection.kubeconfig", "kubeconfig", kOne,
       "kubeconfig file; default: in-cluster service account", TakeText(&Options::kubeconfig)},
      {"hostnameOverride", "hostname-override", kOne, "this node's name; default: the host's name",
       TakeHostname},
      {"bindAddress", "bind-address", kOne, "family of the default listeners: 0.0.0.0 or ::", TakeBindIp},
      {"featureGates", "feature-gates", kMany, "Name=true|false,...: PreferSameTrafficDistribution",
       TakeFeatureGates},

      // --- what is served, and to whom
      {"mode", "proxy-mode", kOne, "auto, ebpf, nftables, ipvs or iptables",
       TakeWord(&Options::proxy_mode, {"auto", "ebpf", "nftables", "ipvs", "iptables"})},
      {"nodePortAddresses", "nodeport-addresses", kMany,
       "CIDRs of NodePort addresses, or primary, localhost, all", TakeNodePortAddresses},
      {"clusterCIDR", "cluster-cidr", kOne, "the pods' CIDR, or two with a comma",
       TakeText(&Options::cluster_cidr, &CheckClusterCidr)},
      {"detectLocalMode", "detect-local-mode", kOne,
       "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
       TakeWord(&Options::detect_local_mode,
                {"ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"})},
      {"detectLocal.bridgeInterface", "pod-bridge-interface", kOne, "for BridgeInterface",
       TakeText(&Options::pod_bridge_interface, &CheckDevice)},
      {"detectLocal.interfaceNamePrefix", "pod-interface-name-prefix", kOne, "for InterfaceNamePrefix",
       TakeText(&Options::pod_interface_name_prefix, &CheckDevicePrefix)},
      {"iptables.masqueradeAll", "", kSwitch, "", TakeMasqueradeAll(kIptables)},
      {"nftables.masqueradeAll", "", kSwitch, "", TakeMasqueradeAll(kNftables)},
      {"", "masquerade-all", kSwitch, "masquerade all traffic to cluster IPs", TakeMasqueradeAll(kFlags)},
      {"iptables.masqueradeBit", "", kOne, "", TakeMarkBit(kIptables)},
      {"nftables.masqueradeBit", "", kOne, "", TakeMarkBit(kNftables)},
      {"", "iptables-masquerade-bit", kOne, "bit of the packet mark, 0-31", TakeMarkBit(kFlags)},
      {"iptables.localhostNodePorts", "iptables-localhost-nodeports", kSwitch,
       "NodePorts on loopback addresses (default true)", TakeSwitch(&Options::localhost_nodeports)},

      // --- when
      {"iptables.syncPeriod", "", kOne, "", TakePeriod(kIptables, kSync)},
      {"iptables.minSyncPeriod", "", kOne, "", TakePeriod(kIptables, kMinSync)},
      {"nftables.syncPeriod", "", kOne, "", TakePeriod(kNftables, kSync)},
      {"nftables.minSyncPeriod", "", kOne, "", TakePeriod(kNftables, kMinSync)},
      {"", "iptables-sync-period", kOne, "time between full passes (default 30s), in every mode but ipvs",
       TakePeriod(kFlags, kSync)},
      {"", "iptables-min-sync-period", kOne, "shortest time between passes; 0: at once",
       TakePeriod(kFlags, kMinSync)},
      {"ipvs.syncPeriod", "ipvs-sync-period", kOne, "the same in ipvs mode", TakePeriod(kIpvs, kSync)},
      {"ipvs.minSyncPeriod", "ipvs-min-sync-period", kOne, "the same in ipvs mode",
       TakePeriod(kIpvs, kMinSync)},

      // --- ipvs
      {"ipvs.scheduler", "ipvs-scheduler", kOne, "ipvs mode: scheduler (default rr)",
       TakeIpvs(&IpvsOptions::scheduler, &ReadScheduler)},
      {"ipvs.excludeCIDRs", "ipvs-exclude-cidrs", kMany, "ipvs mode: addresses to leave alone",
       TakeIpvs(&IpvsOptions::exclude_cidrs, &ReadCidrs)},
      {"ipvs.strictARP", "ipvs-strict-arp", kSwitch, "ipvs mode: arp_ignore 1, arp_announce 2",
       TakeIpvs(&IpvsOptions::strict_arp, &AsBool)},
      {"ipvs.tcpTimeout", "ipvs-tcp-timeout", kOne, "ipvs mode: idle time of TCP connections",
       TakeIpvs(&IpvsOptions::tcp_timeout, &ReadIpvsTimeout)},
      {"ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout", kOne, "ipvs mode: the same after FIN",
       TakeIpvs(&IpvsOptions::tcp_fin_timeout, &ReadIpvsTimeout)},
      {"ipvs.udpTimeout", "ipvs-udp-timeout", kOne, "ipvs mode: the same for UDP",
       TakeIpvs(&IpvsOptions::udp_timeout, &ReadIpvsTimeout)},

      // --- flows of ebpf mode's packet path, or nf_conntrack; an operator's 0 leaves a setting as it is
      {"conntrack.maxPerCore", "conntrack-max-per-core", kOne,
       "flows the table has room for, a core (default 32768); 0: 131072 in all",
       TakeConntrack(&ConntrackOptions::max_per_core, &ReadCount)},
      {"conntrack.min", "conntrack-min", kOne, "flows at least (default 131072)",
       TakeConntrack(&ConntrackOptions::min, &ReadCount)},
      {"conntrack.tcpEstablishedTimeout", "conntrack-tcp-timeout-established", kOne,
       "idle time of TCP flows (default 24h)",
       TakeConntrack(&ConntrackOptions::tcp_established_timeout, &AsDuration)},
      {"conntrack.tcpCloseWaitTimeout", "conntrack-tcp-timeout-close-wait", kOne,
       "the same when one side has closed (default 1h)",
       TakeConntrack(&ConntrackOptions::tcp_close_wait_timeout, &AsDuration)},
      {"conntrack.udpTimeout", "conntrack-udp-timeout", kOne,
       "idle time of UDP flows without an answer (default 30s)",
       TakeConntrack(&ConntrackOptions::udp_timeout, &AsDuration)},
      {"conntrack.udpStreamTimeout", "conntrack-udp-timeout-stream", kOne,
       "the same of UDP flows with answers (default 2m)",
       TakeConntrack(&ConntrackOptions::udp_stream_timeout, &AsDuration)},
      {"conntrack.tcpBeLiberal", "conntrack-tcp-be-liberal", kSwitch,
       "modes other than ebpf: TCP segments outside of the window are taken",
       TakeSwitch(&Options::conntrack_tcp_be_liberal)},

      // --- listeners and the process
      {"healthzBindAddress", "healthz-bind-address", kOne, "address:port of /healthz and /livez; empty: none",
       TakeBindAddress(&Draft::healthz_address, 10256)},
      {"metricsBindAddress", "metrics-bind-address", kOne, "address:port of /metrics; empty: none",
       TakeBindAddress(&Draft::metrics_address, 10249)},
      {"", "healthz-port", kOne, "old spelling: port of the default address; 0: none",
       TakePort(&Draft::healthz_port)},
      {"", "metrics-port", kOne, "old spelling: port of the default address; 0: none",
       TakePort(&Draft::metrics_port)},
      {"bindAddressHardFail", "bind-address-hard-fail", kSwitch, "end if a listener cannot open",
       TakeSwitch(&Options::bind_address_hard_fail)},
      {"oomScoreAdj", "oom-score-adj", kOne, "of this process, -1000 to 1000 (default -999)", TakeOomScore},
      {"logging.verbosity", "v", kOne, "how much to log: 0 info, 1-3 debug, 4 trace", TakeVerbosity},
  };
  std::ranges::move(KubeProxyFieldsWithoutEffect(), std::back_inserter(fields));
  return fields;
}

}  // namespace

const std::vector<Field>& KubeProxyFields() {
  static const std::vector<Field> fields = MakeFields();
  return fields;
}

}  // namespace fairlead::config
