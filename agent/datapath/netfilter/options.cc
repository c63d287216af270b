// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/options.h"

namespace fairlead::netfilter {

LocalTraffic LocalTraffic::From(const Options& options) {
  if (options.detect_local_mode == "BridgeInterface") return {By::kBridge, options.pod_bridge_interface};
  if (options.detect_local_mode == "InterfaceNamePrefix")
    return {By::kDevicePrefix, options.pod_interface_name_prefix};
  const bool prefix = options.detect_local_mode == "NodeCIDR" || !options.cluster_cidr.empty();
  return {prefix ? By::kPrefix : By::kNothing, {}};
}

NetfilterOptions NetfilterOptions::From(const Options& options) {
  NetfilterOptions made;
  made.mark = 1U << options.masquerade_bit;
  made.local_traffic = LocalTraffic::From(options);
  made.tcp_be_liberal = options.conntrack_tcp_be_liberal;
  made.sync_period = options.sync_period;
  return made;
}

}  // namespace fairlead::netfilter
