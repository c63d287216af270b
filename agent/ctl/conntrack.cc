// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/conntrack.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/datapath/ebpf/encode.h"

namespace fairlead::ctl {

namespace {

using ebpf::FlowTable;

Endpoint At(const ip_addr& address, __be16 port) {
  return {Address{address}, ebpf::PortFromWire(port)};
}

bool Same(const flow_key& a, const flow_key& b) {
  return std::memcmp(&a, &b, sizeof(flow_key)) == 0;
}

// The halves of one flow; at least one is there.
struct Halves {
  std::optional<FlowTable::Entry> forward;
  std::optional<FlowTable::Entry> reply;

  const flow& Any() const { return forward ? forward->value : reply->value; }
};

uint64_t IdleTicks(const Halves& halves, uint32_t now_tick) {
  uint32_t idle = UINT32_MAX;
  for (const auto* half : {&halves.forward, &halves.reply}) {
    if (!*half) continue;
    const auto age = static_cast<int32_t>(now_tick - (*half)->value.last_seen);
    idle = std::min(idle, static_cast<uint32_t>(std::max(age, 0)));
  }
  return idle;
}

std::string OutText(const flow& forward, const std::map<uint32_t, std::string>& devices) {
  if (forward.egress == EGRESS_UNKNOWN) return "";
  if (forward.egress == EGRESS_STACK) return "stack";
  auto name = devices.find(forward.ifindex);
  return name != devices.end() ? name->second : fmt::format("if{}", forward.ifindex);
}

void SetEndpoints(const Halves& halves, Flow& row) {
  if (halves.forward) {
    const flow& forward = halves.forward->value;
    row.client = At(forward.key.src, forward.key.sport);
    row.frontend = At(forward.key.dst, forward.key.dport);
    row.source = At(forward.to_src, forward.to_sport);
    row.backend = At(forward.to_dst, forward.to_dport);
  } else {
    const flow& reply = halves.reply->value;
    row.client = At(reply.to_dst, reply.to_dport);
    row.frontend = At(reply.to_src, reply.to_sport);
    row.source = At(reply.key.dst, reply.key.dport);
    row.backend = At(reply.key.src, reply.key.sport);
  }
}

Flow RowOf(const Halves& halves, const FlowContext& context) {
  const flow& any = halves.Any();
  Flow row;
  row.protocol = static_cast<kube::Protocol>(any.key.proto);
  SetEndpoints(halves, row);
  row.service_id = any.service_id;
  row.backend_id = any.backend_id;
  if (auto name = context.services.find(any.service_id); name != context.services.end())
    row.service = name->second;
  row.state = ebpf::FlowStateName(any.state);
  row.masqueraded = any.flags & FLOW_MASQUERADED;
  row.local = any.flags & FLOW_LOCAL;
  row.dsr = any.flags & FLOW_DSR;
  row.has_forward = halves.forward.has_value();
  row.has_reply = halves.reply.has_value();
  if (halves.forward) {
    row.packets_forward = halves.forward->value.packets;
    row.out = OutText(halves.forward->value, context.devices);
  }
  if (halves.reply) row.packets_reply = halves.reply->value.packets;

  const uint64_t idle = IdleTicks(halves, context.now_tick);
  const uint64_t timeout = any.state < FLOW_STATES ? context.config.flow_timeout[any.state] : 0;
  row.idle_s = idle * context.config.tick_ms / 1000;
  row.expires_s = timeout > idle ? (timeout - idle) * context.config.tick_ms / 1000 : 0;
  return row;
}

// Calls `visit` once a flow.
template <typename Visit>
void ForEachFlow(const FlowTable& table, Visit visit) {
  for (size_t set = 0; set < table.sets(); ++set) {
    for (unsigned used = table.Used(set), way = 0; used != 0; used >>= 1, ++way) {
      if (used % 2 == 0) continue;
      auto entry = table.Read({set, way});
      if (!entry) continue;
      auto mate = table.Mate(entry->value);
      if (!(entry->value.flags & FLOW_REPLY)) {
        visit(Halves{entry, mate});
      } else if (!mate) {
        visit(Halves{std::nullopt, entry});
      }
    }
  }
}

// Frees what has one of the flow's two keys and names the other, until neither is found: a packet may make
// one half anew from the other in between. What merely has the key is another flow's.
bool FreeBoth(FlowTable& table, const Halves& halves) {
  constexpr int kTries = 10;
  const flow_key key = halves.Any().key;
  const flow_key mate = FlowTable::MateKey(halves.Any());
  const std::pair<flow_key, flow_key> both[] = {{key, mate}, {mate, key}};
  bool freed = false;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    bool found = false;
    for (const auto& [one, other] : both) {
      auto entry = table.Find(one);
      if (!entry || !Same(FlowTable::MateKey(entry->value), other)) continue;
      found = true;
      freed |= table.Free(*entry, false);
    }
    if (!found) break;
  }
  return freed;
}

}  // namespace

bool EndpointFilter::Matches(const Endpoint& endpoint) const {
  return range.Contains(endpoint.address) && (port == 0 || port == endpoint.port);
}

Result<EndpointFilter> ParseEndpointFilter(std::string_view text) {
  if (text.find('/') != std::string_view::npos) {
    auto range = Cidr::Parse(text);
    if (!range) return std::unexpected(range.error());
    return EndpointFilter{*range, 0};
  }
  auto whole = [](const Address& address) {
    return Cidr{address, static_cast<uint8_t>(address.GetFamily() == Family::kIpv4 ? 32 : 128)};
  };
  std::string_view bare = text;
  if (bare.starts_with('[') && bare.ends_with(']')) bare = bare.substr(1, bare.size() - 2);
  if (auto address = Address::Parse(bare)) return EndpointFilter{whole(*address), 0};
  auto endpoint = ParseEndpoint(text, 0);
  if (!endpoint) return std::unexpected(endpoint.error());
  return EndpointFilter{whole(endpoint->address), endpoint->port};
}

bool FlowFilter::MatchesService(const std::optional<plan::ServicePortKey>& service) const {
  if (ns.empty() && name.empty()) return true;
  return service && (ns.empty() || service->service.ns == ns) &&
         (name.empty() || service->service.name == name);
}

bool FlowFilter::Matches(const Flow& flow) const {
  return MatchesService(flow.service) && (!src || src->Matches(flow.client)) &&
         (!dst || dst->Matches(flow.frontend)) && (!backend || backend->Matches(flow.backend)) &&
         (state.empty() || state == flow.state) && (!protocol || *protocol == flow.protocol);
}

bool FlowFilter::IsEmpty() const {
  return ns.empty() && name.empty() && !src && !dst && !backend && state.empty() && !protocol;
}

std::vector<Flow> ReadFlows(const FlowTable& table, const FlowContext& context, const FlowFilter& filter) {
  std::vector<Flow> rows;
  ForEachFlow(table, [&](const Halves& halves) {
    Flow row = RowOf(halves, context);
    if (filter.Matches(row)) rows.push_back(std::move(row));
  });
  return rows;
}

size_t DeleteFlows(FlowTable& table, const FlowContext& context, const FlowFilter& filter) {
  size_t deleted = 0;
  ForEachFlow(table, [&](const Halves& halves) {
    if (filter.Matches(RowOf(halves, context))) deleted += FreeBoth(table, halves);
  });
  return deleted;
}

}  // namespace fairlead::ctl
