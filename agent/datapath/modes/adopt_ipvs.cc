// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/adopt_ipvs.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "agent/base/log.h"
#include "agent/base/sysctl.h"
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

// As /proc/net/ip_vs_conn has an address and a port.
std::string EndText(const HandedFlow::End& end) {
  const auto bytes = end.address.Bytes();
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes.size() == 4) text += fmt::format("{:02X}", bytes[i]);
    if (bytes.size() == 16) text += fmt::format("{}{:02x}", i != 0 && i % 2 == 0 ? ":" : "", bytes[i]);
  }
  return fmt::format("{} {:04X}", text, end.port);
}

// When IPVS forgets a connection it removes the entry of nf_conntrack with the same ends
// (ip_vs_conn_drop_conntrack), whosever that is by then. It forgets those of a server that is gone at once
// where it is told to.
void Expire() {
  constexpr char kSetting[] = "net/ipv4/vs/expire_nodest_conn";
  if (auto set = WriteSysctl(kSetting, "1"); !set) spdlog::warn("{}", set.error().message);
}

void AwaitExpiry(std::span<const HandedFlow> flows) {
  constexpr std::chrono::seconds kPatience{3};
  if (flows.empty()) return;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  size_t left = 0;
  do {
    std::ifstream table("/proc/net/ip_vs_conn");
    left = CountIpvsConnections(table, flows);
    if (left != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  } while (left != 0 && std::chrono::steady_clock::now() < end);
  if (left != 0) spdlog::warn("{} connections are still known to IPVS, and end when it forgets them", left);
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
    if (entry.source.address == entry.destination.address) continue;
    const auto protocol = static_cast<plan::Protocol>(entry.protocol);
    if (asked.contains({entry.destination.address, entry.destination.port, protocol}))
      flows.push_back(FlowOf(entry));
  }
  return flows;
}

size_t CountIpvsConnections(std::istream& table, std::span<const HandedFlow> flows) {
  std::set<std::string> known;
  for (const HandedFlow& flow : flows) known.insert(EndText(flow.client) + " " + EndText(flow.frontend));
  size_t count = 0;
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string protocol, from, from_port, to, to_port;
    words >> protocol >> from >> from_port >> to >> to_port;
    count += known.contains(fmt::format("{} {} {} {}", from, from_port, to, to_port));
  }
  return count;
}

Result<size_t> AdoptIpvs(std::span<const ipvs::ServerKey> servers, const std::function<void()>& remove) {
  std::vector<HandedFlow> flows;
  if (!servers.empty()) {
    auto entries = Entries();
    if (!entries) return std::unexpected(entries.error());
    flows = IpvsFlows(*entries, servers);
  }
  if (!flows.empty()) Expire();
  return AdoptFlows(flows, [&]() -> Result<void> {
    remove();
    AwaitExpiry(flows);
    return {};
  });
}

}  // namespace fairlead::modes
