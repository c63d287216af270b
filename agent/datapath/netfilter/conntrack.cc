// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/conntrack.h"

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

namespace fairlead::netfilter {

namespace {

using End = ConntrackEntry::End;

constexpr uint16_t Type(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

// Bits of CTA_FILTER_ORIG_FLAGS, which no header of the kernel exports.
constexpr uint32_t kFilterProtocol = 1U << 3;

nfgenmsg Fixed(Family family) {
  return {static_cast<uint8_t>(family == Family::kIpv4 ? AF_INET : AF_INET6), NFNETLINK_V0, 0};
}

struct Tuple {
  End source, destination;
  uint8_t protocol = 0;
  bool zone = false;
};

Tuple ReadTuple(std::span<const std::byte> bytes) {
  Tuple tuple;
  const auto read_ip = [&](const NetlinkAttribute& each) {
    const bool source = each.type == CTA_IP_V4_SRC || each.type == CTA_IP_V6_SRC;
    (source ? tuple.source : tuple.destination).address =
        Address::FromBytes(each.value.size() == 4 ? Family::kIpv4 : Family::kIpv6, each.value);
  };
  const auto read_protocol = [&](const NetlinkAttribute& each) {
    if (each.type == CTA_PROTO_NUM) tuple.protocol = each.As<uint8_t>();
    if (each.type == CTA_PROTO_SRC_PORT) tuple.source.port = ntohs(each.As<uint16_t>());
    if (each.type == CTA_PROTO_DST_PORT) tuple.destination.port = ntohs(each.As<uint16_t>());
  };
  ForEachNetlinkAttribute(bytes, 0, [&](const NetlinkAttribute& each) {
    if (each.type == CTA_TUPLE_IP) ForEachNetlinkAttribute(each.value, 0, read_ip);
    if (each.type == CTA_TUPLE_PROTO) ForEachNetlinkAttribute(each.value, 0, read_protocol);
    if (each.type == CTA_TUPLE_ZONE) tuple.zone = true;
  });
  return tuple;
}

// TCP_CONNTRACK_NONE of other protocols.
uint8_t ReadTcpState(std::span<const std::byte> bytes) {
  uint8_t state = TCP_CONNTRACK_NONE;
  ForEachNetlinkAttribute(bytes, 0, [&](const NetlinkAttribute& info) {
    if (info.type != CTA_PROTOINFO_TCP) return;
    ForEachNetlinkAttribute(info.value, 0, [&](const NetlinkAttribute& each) {
      if (each.type == CTA_PROTOINFO_TCP_STATE) state = each.As<uint8_t>();
    });
  });
  return state;
}

// Nothing for an entry of a zone.
std::optional<ConntrackEntry> ReadEntry(const NetlinkMessage& message) {
  ConntrackEntry entry;
  Tuple original, reply;
  bool zone = false;
  ForEachNetlinkAttribute(message.body, sizeof(nfgenmsg), [&](const NetlinkAttribute& each) {
    if (each.type == CTA_TUPLE_ORIG) original = ReadTuple(each.value);
    if (each.type == CTA_TUPLE_REPLY) reply = ReadTuple(each.value);
    if (each.type == CTA_STATUS) entry.status = ntohl(each.As<uint32_t>());
    if (each.type == CTA_ID) entry.id = each.As<uint32_t>();  // opaque: goes back as it came
    if (each.type == CTA_TIMEOUT) entry.left = std::chrono::seconds(ntohl(each.As<uint32_t>()));
    if (each.type == CTA_PROTOINFO) entry.tcp_state = ReadTcpState(each.value);
    if (each.type == CTA_ZONE) zone = true;
  });
  if (zone || original.zone || reply.zone) return std::nullopt;
  entry.protocol = original.protocol;
  entry.source = original.source;
  entry.destination = original.destination;
  entry.reply_source = reply.source;
  entry.reply_destination = reply.destination;
  return entry;
}

bool Passes(const ConntrackEntry& entry, const ConntrackFilter& filter) {
  return entry.source.address.GetFamily() == filter.family &&
         (filter.protocol == 0 || entry.protocol == filter.protocol) &&
         (entry.status & filter.status) == filter.status;
}

NetlinkRequest DumpRequest(const ConntrackFilter& filter) {
  NetlinkRequest request(Type(IPCTNL_MSG_CT_GET), NLM_F_DUMP, Fixed(filter.family));
  if (filter.status != 0) request.AddValue(CTA_STATUS, htonl(filter.status));
  if (filter.protocol != 0) {
    request.Nest(CTA_TUPLE_ORIG, [&](NetlinkRequest& tuple) {
      tuple.Nest(CTA_TUPLE_PROTO,
                 [&](NetlinkRequest& protocol) { protocol.AddValue(CTA_PROTO_NUM, filter.protocol); });
    });
    request.Nest(CTA_FILTER, [&](NetlinkRequest& flags) {
      flags.AddValue(CTA_FILTER_ORIG_FLAGS, kFilterProtocol);
      flags.AddValue(CTA_FILTER_REPLY_FLAGS, uint32_t{0});
    });
  }
  return request;
}

void AddAddress(NetlinkRequest& request, uint16_t v4, uint16_t v6, const Address& address) {
  request.Add(address.GetFamily() == Family::kIpv4 ? v4 : v6, address.Bytes());
}

// By its tuple and id. Without a tuple the kernel would take it for the whole table.
NetlinkRequest DeleteRequest(const ConntrackEntry& entry) {
  NetlinkRequest request(Type(IPCTNL_MSG_CT_DELETE), 0, Fixed(entry.source.address.GetFamily()));
  request.Nest(CTA_TUPLE_ORIG, [&](NetlinkRequest& tuple) {
    tuple.Nest(CTA_TUPLE_IP, [&](NetlinkRequest& ip) {
      AddAddress(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC, entry.source.address);
      AddAddress(ip, CTA_IP_V4_DST, CTA_IP_V6_DST, entry.destination.address);
    });
    tuple.Nest(CTA_TUPLE_PROTO, [&](NetlinkRequest& protocol) {
      protocol.AddValue(CTA_PROTO_NUM, entry.protocol);
      protocol.AddValue(CTA_PROTO_SRC_PORT, htons(entry.source.port));
      protocol.AddValue(CTA_PROTO_DST_PORT, htons(entry.destination.port));
    });
  });
  request.AddValue(CTA_ID, entry.id);
  return request;
}

}  // namespace

Result<Conntrack> Conntrack::Open() {
  Conntrack conntrack;
  for (Netlink* socket : {&conntrack.walk_, &conntrack.write_}) {
    auto opened = Netlink::Open(NETLINK_NETFILTER);
    if (!opened) return std::unexpected(std::move(opened.error()).In("conntrack"));
    *socket = std::move(*opened);
  }
  return conntrack;
}

Result<void> Conntrack::Begin(const ConntrackFilter& filter) {
  filter_ = filter;
  auto begun = walk_.Begin(DumpRequest(filter));
  if (!begun) return std::unexpected(std::move(begun.error()).In("conntrack: list entries"));
  return {};
}

Result<bool> Conntrack::Continue(const Visit& visit) {
  auto more = walk_.Continue([&](const NetlinkMessage& message) {
    const auto entry = ReadEntry(message);
    if (entry && Passes(*entry, filter_)) visit(*entry);
  });
  if (!more) return std::unexpected(std::move(more.error()).In("conntrack: list entries"));
  return more;
}

Result<void> Conntrack::Delete(std::span<const ConntrackEntry> entries, uint64_t& deleted) {
  std::vector<NetlinkRequest> requests;
  requests.reserve(entries.size());
  for (const ConntrackEntry& entry : entries) requests.push_back(DeleteRequest(entry));
  std::optional<Error> error;
  auto asked = write_.AskAll(requests, [&](size_t index, int code) {
    if (code == 0) ++deleted;
    if (code == 0 || code == ENOENT || error) return;
    const ConntrackEntry& entry = entries[index];
    error =
        FailErrno(code, "conntrack: delete {} to {}", AddressPort(entry.source.address, entry.source.port),
                  AddressPort(entry.destination.address, entry.destination.port))
            .error();
  });
  if (!asked) return std::unexpected(std::move(asked.error()).In("conntrack: delete entries"));
  if (error) return std::unexpected(*error);
  return {};
}

Result<bool> AnyConntrackEntry(const ConntrackFilter& filter,
                               const std::function<bool(const ConntrackEntry&)>& test) {
  auto conntrack = Conntrack::Open();
  if (!conntrack) return std::unexpected(conntrack.error());
  if (auto begun = conntrack->Begin(filter); !begun) return std::unexpected(begun.error());
  bool found = false;
  for (bool more = true; more && !found;) {
    auto heard = conntrack->Continue([&](const ConntrackEntry& entry) { found |= test(entry); });
    if (!heard) return std::unexpected(heard.error());
    more = *heard;
  }
  return found;
}

}  // namespace fairlead::netfilter
