// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/flows.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>
#include <cstring>
#include <string>

#include "agent/datapath/ebpf/encode.h"
#include "test/support/objects.h"

namespace fairlead::test {

namespace {

struct Endpoint {
  ip_addr address{};
  __be16 port = 0;
};

Endpoint EndpointOf(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  const auto port = static_cast<uint16_t>(std::stoi(std::string(text.substr(colon + 1))));
  return {Addr(address).raw, ebpf::PortToWire(port)};
}

using AnyWord [[gnu::may_alias]] = uint64_t;

std::atomic_ref<uint8_t> Tag(flow_tags& set, size_t way) {
  return std::atomic_ref(reinterpret_cast<uint8_t*>(&set.tags)[way]);
}

}  // namespace

FlowOf::FlowOf(std::string_view client, std::string_view frontend) {
  const Endpoint from = EndpointOf(client);
  const Endpoint at = EndpointOf(frontend);
  forward_.key.src = forward_.to_src = from.address;
  forward_.key.sport = forward_.to_sport = from.port;
  forward_.key.dst = at.address;
  forward_.key.dport = at.port;
  forward_.key.proto = IPPROTO_TCP;
  forward_.state = FLOW_ESTABLISHED;
  forward_.flags = FLOW_LOCAL;
  To("10.180.1.11:8080");
}

FlowOf& FlowOf::Udp() {
  forward_.key.proto = IPPROTO_UDP;
  forward_.state = FLOW_STREAM;
  return *this;
}
FlowOf& FlowOf::To(std::string_view backend) {
  const Endpoint to = EndpointOf(backend);
  forward_.to_dst = to.address;
  forward_.to_dport = to.port;
  return *this;
}
FlowOf& FlowOf::SeenAs(std::string_view source) {
  const Endpoint as = EndpointOf(source);
  forward_.to_src = as.address;
  forward_.to_sport = as.port;
  forward_.flags |= FLOW_MASQUERADED;
  return *this;
}
FlowOf& FlowOf::State(flow_state state) {
  forward_.state = static_cast<__u8>(state);
  return *this;
}
FlowOf& FlowOf::LastSeen(uint32_t tick) {
  forward_.last_seen = tick;
  return *this;
}
FlowOf& FlowOf::Ids(uint32_t service_id, uint32_t backend_id) {
  forward_.service_id = service_id;
  forward_.backend_id = backend_id;
  return *this;
}
FlowOf& FlowOf::Out(uint32_t ifindex, flow_egress egress) {
  forward_.ifindex = ifindex;
  forward_.egress = static_cast<__u8>(egress);
  return *this;
}
FlowOf& FlowOf::Flags(uint8_t flags) {
  forward_.flags = static_cast<__u8>(forward_.flags | flags);
  return *this;
}

flow FlowOf::Reply() const {
  flow reply = forward_;
  reply.key = ebpf::FlowTable::MateKey(forward_);
  reply.to_src = forward_.key.dst;
  reply.to_sport = forward_.key.dport;
  reply.to_dst = forward_.key.src;
  reply.to_dport = forward_.key.sport;
  reply.flags |= FLOW_REPLY;
  reply.egress = EGRESS_UNKNOWN;
  reply.ifindex = 0;
  return reply;
}

bool FlowMaker::Make(const flow& entry) {
  const uint64_t hash = flow_hash(&entry.key, reinterpret_cast<const __u64*>(keys_.data()));
  const auto mask = static_cast<uint32_t>(sets_.size() - 1);
  for (uint32_t index : {flow_first_set(hash, mask), flow_second_set(hash, mask)}) {
    flow_tags& tags = sets_.tags[index];
    for (size_t way = 0; way < FLOW_WAYS; ++way) {
      if (Tag(tags, way).load() != 0) continue;
      flow& at = sets_.entries[index].entry[way];
      std::atomic_ref sequence(at.sequence);
      uint32_t before = sequence.load();
      if (before % 2 != 0 || !sequence.compare_exchange_strong(before, before + 1)) continue;
      flow filled = entry;
      filled.sequence = before + 1;
      auto* from = reinterpret_cast<const AnyWord*>(&filled);
      auto* to = reinterpret_cast<AnyWord*>(&at);
      for (size_t i = 0; i < sizeof(flow) / sizeof(AnyWord); ++i)
        __atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
      Tag(tags, way).store(flow_tag(hash));
      sequence.store(before + 2);
      return true;
    }
  }
  return false;
}

void FlowMaker::Make(const FlowOf& flow) {
  EXPECT_TRUE(Make(flow.Forward()));
  EXPECT_TRUE(Make(flow.Reply()));
}

void FlowMaker::Touch(flow_set& set, size_t way, uint32_t tick) {
  std::atomic_ref(set.entry[way].last_seen).store(tick);
}

}  // namespace fairlead::test
