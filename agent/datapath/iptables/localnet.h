// SPDX-License-Identifier: Apache-2.0
// net.ipv4.conf.all.route_localnet, which lets what is sent to a NodePort of 127.0.0.1 leave for a backend.
// That it was us who set it is remembered where it ends with the network namespace: by an empty chain,
// FAIRLEAD-ROUTE-LOCALNET, of table filter.
#pragma once

#include <string_view>

#include "agent/base/error.h"
#include "agent/datapath/iptables/backend.h"

namespace fairlead::iptables {

inline constexpr std::string_view kLocalnetNote = "FAIRLEAD-ROUTE-LOCALNET";

// Whether it stands in this backend.
bool HasLocalnetNote(const Run& run, const Backend& backend);

Result<bool> ReadRouteLocalnet();
Result<void> WriteRouteLocalnet(bool on);

}  // namespace fairlead::iptables
