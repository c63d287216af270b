// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/adopt_flows.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "agent/base/exec.h"
#include "agent/base/log.h"
#include "agent/base/netlink.h"
#include "agent/datapath/netfilter/nft_table.h"

namespace fairlead::modes {

namespace {

using ebpf::HandedFlow;
using End = HandedFlow::End;
using std::chrono::seconds;

// Of an entry until the first packet renews it, at most: the kernel's own defaults, and for connections of
// the length that kube-proxy asks for.
constexpr seconds kEstablished{86400}, kHalfClosed{3600}, kSyn{120};

constexpr uint16_t Type(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

bool IsIpv4(const HandedFlow& flow) {
  return flow.client.address.GetFamily() == Family::kIpv4;
}

nfgenmsg Fixed(const HandedFlow& flow) {
  return {static_cast<uint8_t>(IsIpv4(flow) ? AF_INET : AF_INET6), NFNETLINK_V0, 0};
}

void AddAddress(NetlinkRequest& to, uint16_t v4, uint16_t v6, const Address& address) {
  to.Add(address.GetFamily() == Family::kIpv4 ? v4 : v6, address.Bytes());
}

void AddTuple(NetlinkRequest& to, uint16_t type, plan::Protocol protocol, const End& source,
              const End& destination) {
  to.Nest(type, [&](NetlinkRequest& tuple) {
    tuple.Nest(CTA_TUPLE_IP, [&](NetlinkRequest& ip) {
      AddAddress(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC, source.address);
      AddAddress(ip, CTA_IP_V4_DST, CTA_IP_V6_DST, destination.address);
    });
    tuple.Nest(CTA_TUPLE_PROTO, [&](NetlinkRequest& ports) {
      ports.AddValue(CTA_PROTO_NUM, static_cast<uint8_t>(protocol));
      ports.AddValue(CTA_PROTO_SRC_PORT, htons(source.port));
      ports.AddValue(CTA_PROTO_DST_PORT, htons(destination.port));
    });
  });
}

// The translation to exactly this address and port.
void AddNat(NetlinkRequest& to, uint16_t type, const End& end) {
  to.Nest(type, [&](NetlinkRequest& nat) {
    AddAddress(nat, CTA_NAT_V4_MINIP, CTA_NAT_V6_MINIP, end.address);
    AddAddress(nat, CTA_NAT_V4_MAXIP, CTA_NAT_V6_MAXIP, end.address);
    nat.Nest(CTA_NAT_PROTO, [&](NetlinkRequest& ports) {
      ports.AddValue(CTA_PROTONAT_PORT_MIN, htons(end.port));
      ports.AddValue(CTA_PROTONAT_PORT_MAX, htons(end.port));
    });
  });
}

seconds TimeoutOf(const HandedFlow& flow) {
  return std::min(flow.left, !flow.answered ? kSyn : flow.half_closed ? kHalfClosed : kEstablished);
}

// The window of the connection is not known here: liberal, nf_conntrack takes every segment.
void AddTcpState(NetlinkRequest& to, const HandedFlow& flow) {
  const auto state = static_cast<uint8_t>(!flow.answered     ? TCP_CONNTRACK_SYN_SENT
                                          : flow.half_closed ? TCP_CONNTRACK_CLOSE_WAIT
                                                             : TCP_CONNTRACK_ESTABLISHED);
  const nf_ct_tcp_flags liberal{IP_CT_TCP_FLAG_BE_LIBERAL, IP_CT_TCP_FLAG_BE_LIBERAL};
  to.Nest(CTA_PROTOINFO, [&](NetlinkRequest& info) {
    info.Nest(CTA_PROTOINFO_TCP, [&](NetlinkRequest& tcp) {
      tcp.AddValue(CTA_PROTOINFO_TCP_STATE, state);
      tcp.AddValue(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, liberal);
      tcp.AddValue(CTA_PROTOINFO_TCP_FLAGS_REPLY, liberal);
    });
  });
}

// The kernel works the reply's tuple out from the translation, beginning at that of a connection without any
// (ctnetlink_create_conntrack, nf_nat_setup_info).
NetlinkRequest Creation(const HandedFlow& flow) {
  NetlinkRequest request(Type(IPCTNL_MSG_CT_NEW), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, Fixed(flow));
  AddTuple(request, CTA_TUPLE_ORIG, flow.protocol, flow.client, flow.frontend);
  AddTuple(request, CTA_TUPLE_REPLY, flow.protocol, flow.frontend, flow.client);
  const uint32_t status = IPS_CONFIRMED | (flow.answered ? IPS_SEEN_REPLY | IPS_ASSURED : 0);
  request.AddValue(CTA_STATUS, htonl(status));
  request.AddValue(CTA_TIMEOUT, htonl(static_cast<uint32_t>(TimeoutOf(flow).count())));
  AddTcpState(request, flow);
  AddNat(request, CTA_NAT_DST, flow.backend);
  if (flow.source != flow.client) AddNat(request, CTA_NAT_SRC, flow.source);
  return request;
}

// Of the entry in whose way, or in the way of whose answers, this one would be: what nf_conntrack made of the
// packets after the programs' translation, or a connection that is over and had the same ports.
NetlinkRequest Deletion(const HandedFlow& flow, const End& source, const End& destination) {
  NetlinkRequest request(Type(IPCTNL_MSG_CT_DELETE), NLM_F_ACK, Fixed(flow));
  AddTuple(request, CTA_TUPLE_ORIG, flow.protocol, source, destination);
  return request;
}

// Drops TCP segments that begin no connection and belong to none, while it lives. After conntrack has seen
// them (-200), before they are translated (-100). Without nft the change of hands is as short as it is.
class Guard {
 public:
  Guard() {
    constexpr std::string_view kTable = R"(table inet fairlead-change
delete table inet fairlead-change
table inet fairlead-change {
  comment "for the moment in which another mode takes over: what is dropped is sent again"
  chain in {
    type filter hook prerouting priority -150
    ct state new tcp flags & syn == 0 drop
  }
  chain out {
    type filter hook output priority -150
    ct state new tcp flags & syn == 0 drop
  }
}
)";
    auto made = ExecuteOrFail({.argv = {"nft", "-f", "-"}, .input = kTable});
    if (!made)
      spdlog::warn("{}; established connections may be cut in the change of modes", made.error().message);
    made_ = made.has_value();
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    if (!made_) return;
    if (auto gone = RemoveGuard(); !gone) spdlog::error("{}; trying again", gone.error().message);
  }

 private:
  bool made_ = false;
};

// Goes on after an error: whoever would try again finds no flows any more. How many were made.
size_t MakeEntries(Netlink& netlink, std::span<const NetlinkRequest> creations) {
  constexpr size_t kAtOnce = 1024;
  size_t made = 0;
  std::string reason;
  for (size_t done = 0; done < creations.size(); done += kAtOnce) {
    const auto batch = creations.subspan(done, std::min(kAtOnce, creations.size() - done));
    auto asked = netlink.AskAll(batch, [&](size_t, int error) {
      made += error == 0;
      if (error != 0) reason = std::strerror(error);
    });
    if (!asked) reason = asked.error().message;
  }
  if (made < creations.size())
    spdlog::warn("{} of {} connections cannot go on by nf_conntrack: {}", creations.size() - made,
                 creations.size(), reason);
  return made;
}

}  // namespace

Result<bool> RemoveGuard() {
  return netfilter::RemoveNftTable({NFPROTO_INET, "fairlead-change"});
}

Result<size_t> AdoptFlows(std::span<const HandedFlow> flows, const std::function<Result<void>()>& detach) {
  if (flows.empty()) {
    if (auto detached = detach(); !detached) return std::unexpected(detached.error());
    return 0;
  }
  auto netlink = Netlink::Open(NETLINK_NETFILTER);
  if (!netlink) return std::unexpected(netlink.error());
  std::vector<NetlinkRequest> deletions, creations;
  for (const HandedFlow& flow : flows) {
    deletions.push_back(Deletion(flow, flow.client, flow.frontend));
    deletions.push_back(Deletion(flow, flow.backend, flow.source));
    if (flow.protocol == plan::Protocol::kTcp) creations.push_back(Creation(flow));
  }

  const Guard guard;
  auto asked = netlink->AskAll(deletions, [](size_t, int) {});  // those that are not there are no error
  if (!asked) return std::unexpected(asked.error());
  if (auto detached = detach(); !detached) return std::unexpected(detached.error());
  return MakeEntries(*netlink, creations);
}

}  // namespace fairlead::modes
