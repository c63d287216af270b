// SPDX-License-Identifier: Apache-2.0
// What several settings decide together.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "agent/base/address.h"
#include "agent/config/duration.h"
#include "agent/config/field.h"
#include "agent/config/text.h"

namespace fairlead::config {

namespace {

// The value of the first section in force that has one, and its place in `from`. Values nobody takes are
// said.
template <typename T>
T Settle(Draft& draft, Said<T> ModeSection::* member, std::initializer_list<const ModeSection*> in_force,
         T fallback, std::string* from = nullptr) {
  const Said<T>* taken = nullptr;
  for (const ModeSection* section : {&draft.flags, &draft.iptables, &draft.nftables, &draft.ipvs}) {
    const Said<T>& said = section->*member;
    if (!said.value) continue;
    if (std::ranges::find(in_force, section) == in_force.end()) {
      draft.Warn(said.where, fmt::format("has no effect in mode {}", draft.options.proxy_mode));
    } else if (taken == nullptr) {
      taken = &said;  // flags come first
    } else if (taken->value != said.value) {
      draft.Warn(taken->where,
                 fmt::format("taken instead of {}; kube-proxy would take the file's", said.where));
    }
  }
  if (taken != nullptr && from != nullptr) *from = taken->where;
  return taken == nullptr ? fallback : *taken->value;
}

// Which section of the file counts: the mode's own; iptables' where the mode (auto, ebpf) has none, as
// kube-proxy's flags of that name do. ipvs mode masquerades by iptables.
Result<void> SettleMode(Draft& draft) {
  Options& options = draft.options;
  bool ipvs = options.proxy_mode == "ipvs";
  const ModeSection* own = options.proxy_mode == "nftables" ? &draft.nftables : &draft.iptables;
  std::string period_from, min_period_from;
  auto period = [&](auto member, auto fallback, std::string& from) {
    return ipvs ? Settle(draft, member, {&draft.ipvs}, fallback, &from)
                : Settle(draft, member, {&draft.flags, own}, fallback, &from);
  };
  options.sync_period = period(&ModeSection::sync_period, options.sync_period, period_from);
  options.min_sync_period = period(&ModeSection::min_sync_period, options.min_sync_period, min_period_from);
  options.masquerade_all = Settle(draft, &ModeSection::masquerade_all, {&draft.flags, own}, false);
  options.masquerade_bit =
      Settle(draft, &ModeSection::masquerade_bit, {&draft.flags, own}, options.masquerade_bit);
  if (!ipvs && options.proxy_mode != "auto") {
    for (const std::string& where : draft.ipvs_only) {
      draft.Warn(where, fmt::format("has no effect in mode {}", options.proxy_mode));
    }
  }
  if (options.sync_period.count() == 0) {
    return Fail(ErrorKind::kInvalid, "{}: expected a sync period of more than 0, got 0", period_from);
  }
  if (options.min_sync_period > options.sync_period) {
    return Fail(ErrorKind::kInvalid, "{}: expected at most the sync period, which is {} ({}), got {}",
                min_period_from, FormatDuration(options.sync_period),
                period_from.empty() ? "the default" : period_from, FormatDuration(options.min_sync_period));
  }
  return {};
}

std::string ListenAddress(const std::optional<std::string>& address, const std::optional<int>& port,
                          std::string_view host, int default_port) {
  if (port && *port == 0) return "";
  if (address) return *address;
  return fmt::format("{}:{}", host, port.value_or(default_port));
}

void SettleListeners(Draft& draft) {
  Options& options = draft.options;
  auto bind = Address::Parse(options.bind_address);
  bool v6 = bind && bind->GetFamily() == Family::kIpv6;
  options.healthz_bind_address =
      ListenAddress(draft.healthz_address, draft.healthz_port, v6 ? "[::]" : "0.0.0.0", 10256);
  options.metrics_bind_address =
      ListenAddress(draft.metrics_address, draft.metrics_port, v6 ? "[::1]" : "127.0.0.1", 10249);
}

Result<void> CheckDetector(Draft& draft) {
  const Options& options = draft.options;
  if (options.detect_local_mode == "ClusterCIDR" && options.cluster_cidr.empty()) {
    draft.Warn("detectLocalMode", "ClusterCIDR has no clusterCIDR to go by: no client is taken for a pod");
  }
  if (options.detect_local_mode == "BridgeInterface" && options.pod_bridge_interface.empty()) {
    return Fail(ErrorKind::kInvalid,
                "detectLocalMode BridgeInterface needs detectLocal.bridgeInterface (--pod-bridge-interface)");
  }
  if (options.detect_local_mode == "InterfaceNamePrefix" && options.pod_interface_name_prefix.empty()) {
    return Fail(ErrorKind::kInvalid,
                "detectLocalMode InterfaceNamePrefix needs detectLocal.interfaceNamePrefix "
                "(--pod-interface-name-prefix)");
  }
  return {};
}

}  // namespace

Result<void> Finish(Draft& draft) {
  if (auto settled = SettleMode(draft); !settled) return settled;
  SettleListeners(draft);
  Options& options = draft.options;
  // The machine's cores, not those of this process's cpuset: packets come in on all of them. Those offline
  // too: the size must not change with them, since another size means another table.
  options.capacities.flows = draft.flows.value_or(
      FlowCapacity(options.conntrack, static_cast<uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)))));
  if (!options.manifests.empty() && (!options.kubeconfig.empty() || !options.master.empty())) {
    draft.Warn("manifests", "taken instead of the API server that kubeconfig or master name");
  }
  return CheckDetector(draft);
}

Result<std::string> NormalizeBindAddress(std::string_view text, int port) {
  auto refuse = [text] {
    return Fail(ErrorKind::kInvalid, "expected IP:port, [IPv6]:port or \"off\", got {}", Quote(text));
  };
  std::string_view host = text;
  size_t colon = text.rfind(':');
  bool bracketed = text.starts_with('[');
  bool has_port = bracketed ? text.find("]:") != std::string_view::npos
                            : colon != std::string_view::npos && text.find(':') == colon;
  if (has_port) {
    std::string_view digits = text.substr(colon + 1);
    const char* end = digits.data() + digits.size();
    auto [stop, error] = std::from_chars(digits.data(), end, port);
    if (error != std::errc() || stop != end || port < 1 || port > 65535) return refuse();
    host = text.substr(0, colon);
  }
  if (bracketed) {
    if (!host.ends_with(']')) return refuse();
    host = host.substr(1, host.size() - 2);
  }
  auto address = Address::Parse(host);
  if (!address || (bracketed && address->GetFamily() == Family::kIpv4)) return refuse();
  return AddressPort(*address, static_cast<uint16_t>(port));
}

}  // namespace fairlead::config
