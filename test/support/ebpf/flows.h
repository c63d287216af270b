// SPDX-License-Identifier: Apache-2.0
// Flow entries in tables in memory, made by the protocol of the programs (bpf/lib/flow.bpf.h):
//
//   FlowOf web("203.0.113.2:40000", "198.51.100.4:80");
//   web.To("10.180.1.11:8080").SeenAs("192.168.99.11:40000").State(FLOW_ESTABLISHED).LastSeen(100);
//   FlowMaker(memory.View().conntrack, kFlowKeys).Make(web);
#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "agent/datapath/ebpf/flow_table.h"

namespace fairlead::test {

inline constexpr ebpf::FlowKeys kFlowKeys = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9,
                                             0xd6e8feb86659fd93, 0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53};

// A flow table in memory.
class FlowMemory {
 public:
  explicit FlowMemory(size_t sets) : entries_(sets), tags_(sets) {}

  operator ebpf::FlowSets() { return {entries_, tags_}; }
  flow_set& operator[](size_t set) { return entries_[set]; }
  size_t size() const { return entries_.size(); }
  void Clear() {  // in place: tables that look at it go on
    std::ranges::fill(entries_, flow_set{});
    std::ranges::fill(tags_, flow_tags{});
  }
  const std::vector<flow_set>& entries() const { return entries_; }

 private:
  std::vector<flow_set> entries_;
  std::vector<flow_tags> tags_;
};

// "address:port", IPv6 in brackets; TCP to 10.180.1.11:8080 on this node unless said otherwise.
class FlowOf {
 public:
  FlowOf(std::string_view client, std::string_view frontend);

  FlowOf& Udp();
  FlowOf& To(std::string_view backend);
  FlowOf& SeenAs(std::string_view source);  // masqueraded
  FlowOf& State(flow_state state);
  FlowOf& LastSeen(uint32_t tick);
  FlowOf& Ids(uint32_t service_id, uint32_t backend_id);
  FlowOf& Out(uint32_t ifindex, flow_egress egress = EGRESS_NEIGH);
  FlowOf& Flags(uint8_t flags);  // besides those that are implied

  const flow& Forward() const { return forward_; }
  flow Reply() const;

 private:
  flow forward_{};
};

class FlowMaker {
 public:
  FlowMaker(ebpf::FlowSets sets, const ebpf::FlowKeys& keys) : sets_(sets), keys_(keys) {}

  // False if there is no free place in the key's two sets.
  bool Make(const flow& entry);
  // Both halves; expects that there is room.
  void Make(const FlowOf& flow);
  // As a packet does once a tick.
  static void Touch(flow_set& set, size_t way, uint32_t tick);

 private:
  ebpf::FlowSets sets_;
  ebpf::FlowKeys keys_;
};

}  // namespace fairlead::test
