// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/adopt_ipvs.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

#include <set>

#include "agent/datapath/modes/adopt_flows.h"

namespace fairlead::modes {

namespace {

using ebpf::HandedFlow;
using netfilter::ConntrackEntry;

HandedFlow::End EndOf(const ConntrackEntry::End& end) {
  return {end.address, end.port};
}

bool IsOver(const ConntrackEntry& entry) {
  return entry.tcp_state == TCP_CONNTRACK_NONE || entry.tcp_state == TCP_CONNTRACK_TIME_WAIT ||
         entry.tcp_state == TCP_CONNTRACK_CLOSE;
}

HandedFlow FlowOf(const ConntrackEntry& entry) {
  HandedFlow flow{static_cast<plan::Protocol>(entry.protocol), EndOf(entry.source), EndOf(entry.destination),
                  EndOf(entry.reply_destination), EndOf(entry.reply_source)};
  flow.answered = entry.tcp_state != TCP_CONNTRACK_SYN_SENT && entry.tcp_state != TCP_CONNTRACK_SYN_RECV;
  flow.half_closed = flow.answered && entry.tcp_state != TCP_CONNTRACK_ESTABLISHED;
  flow.left = entry.left;
  return flow;
}

Result<std::vector<ConntrackEntry>> Entries() {
  std::vector<ConntrackEntry> entries;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    auto walked = netfilter::AnyConntrackEntry({.family = family}, [&](const ConntrackEntry& entry) {
      if (entry.reply_source != entry.destination) entries.push_back(entry);
      return false;
    });
    if (!walked) return std::unexpected(walked.error());
  }
  return entries;
}

}  // namespace

std::vector<HandedFlow> IpvsFlows(std::span<const ConntrackEntry> entries,
                                  std::span<const ipvs::ServerKey> servers) {
  const std::set<ipvs::ServerKey> asked(servers.begin(), servers.end());
  std::vector<HandedFlow> flows;
  for (const ConntrackEntry& entry : entries) {
    const bool tcp = entry.protocol == IPPROTO_TCP;
    if ((!tcp && entry.protocol != IPPROTO_UDP) || (tcp && IsOver(entry))) continue;
    if (entry.status & IPS_DST_NAT || entry.reply_source == entry.destination) continue;
    const auto protocol = static_cast<plan::Protocol>(entry.protocol);
    if (asked.contains({entry.destination.address, entry.destination.port, protocol}))
      flows.push_back(FlowOf(entry));
  }
  return flows;
}

Result<size_t> AdoptIpvs(std::span<const ipvs::ServerKey> servers,
                         const std::function<Result<void>()>& remove) {
  std::vector<HandedFlow> flows;
  if (!servers.empty()) {
    auto entries = Entries();
    if (!entries) return std::unexpected(entries.error());
    flows = IpvsFlows(*entries, servers);
  }
  return AdoptFlows(flows, remove);
}

}  // namespace fairlead::modes
