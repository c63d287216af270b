// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/established.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>

#include <fstream>
#include <set>
#include <string>

#include "agent/datapath/netfilter/conntrack.h"

namespace fairlead::netfilter {

namespace {

// Of this network namespace: a line each, below three of headings.
bool HasVirtualServers() {
  std::ifstream table("/proc/net/ip_vs");
  std::string line;
  for (int i = 0; i < 4; ++i) {
    if (!std::getline(table, line)) return false;
  }
  return true;
}

// Translation of the source alone is somebody else's doing: a Service's packets get another destination
// first. IPVS's have no status of their own.
Result<bool> HasTranslated(uint8_t protocol) {
  const uint32_t status = HasVirtualServers() ? 0 : IPS_DST_NAT;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    auto any = AnyConntrackEntry(
        {.family = family, .protocol = protocol, .status = status},
        [](const ConntrackEntry& entry) { return entry.reply_source != entry.destination; });
    if (!any || *any) return any;
  }
  return false;
}

}  // namespace

Result<bool> HasTranslatedFlows() {
  return HasTranslated(IPPROTO_TCP);
}

Result<bool> HasTranslatedEntries() {
  return HasTranslated(0);
}

Result<std::vector<uint16_t>> MasqueradePorts() {
  std::set<uint16_t> ports;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    auto walked = AnyConntrackEntry({.family = family, .protocol = IPPROTO_TCP, .status = IPS_SRC_NAT},
                                    [&](const ConntrackEntry& entry) {
                                      ports.insert(entry.reply_destination.port);
                                      return false;
                                    });
    if (!walked) return std::unexpected(walked.error());
  }
  return std::vector<uint16_t>(ports.begin(), ports.end());
}

}  // namespace fairlead::netfilter
