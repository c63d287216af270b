// SPDX-License-Identifier: Apache-2.0
// What the datapaths that leave packets to the kernel's own NAT have in common, from the agent's options.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "agent/options.h"

namespace fairlead::netfilter {

// How a packet of a pod is told from others (SEMANTICS of kube-proxy's local detectors,
// pkg/proxy/util/localdetector.go). By prefix: those of plan::NodePlan::pod_cidrs, of the packet's family; a
// family without one has no detector. By device: the one a packet came in by.
struct LocalTraffic {
  enum class By : uint8_t { kNothing, kPrefix, kBridge, kDevicePrefix };
  By by = By::kNothing;
  std::string device;  // kBridge: its name; kDevicePrefix: how names begin

  static LocalTraffic From(const Options& options);
  friend bool operator==(const LocalTraffic&, const LocalTraffic&) = default;
};

// What is served. Beside ebpf only what that leaves: packets of other protocols are none of our business
// then, not even to refuse an undefined port.
enum class Serves : uint8_t { kAll, kOnlySctp };

struct NetfilterOptions {
  uint32_t mark = 1U << 14;  // the bit of the packet mark that says: masquerade
  LocalTraffic local_traffic;
  Serves serves = Serves::kAll;
  bool tcp_be_liberal = false;  // no TCP segment is invalid, so none is dropped for it (iptables mode)
  std::chrono::milliseconds sync_period{30000};  // between full level-triggered passes

  static NetfilterOptions From(const Options& options);
};

}  // namespace fairlead::netfilter
