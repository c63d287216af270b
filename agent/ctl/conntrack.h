// SPDX-License-Identifier: Apache-2.0
// The flows of the packet path as fairleadctl shows them: one row a flow, both directions in one. Ports are
// host order.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/ctl/explain_request.h"
#include "agent/ctl/render.h"
#include "agent/datapath/ebpf/flow_table.h"
#include "agent/plan/plan.h"
#include "fairlead/config.h"

namespace fairlead::ctl {

struct Flow {
  kube::Protocol protocol = kube::Protocol::kTcp;
  Endpoint client;
  Endpoint frontend;
  Endpoint backend;
  Endpoint source;                              // of the packets that the backend gets
  std::optional<plan::ServicePortKey> service;  // nothing: no longer in the tables
  uint32_t service_id = 0;
  uint32_t backend_id = 0;
  std::string state;  // ebpf::FlowStateName
  bool masqueraded = false;
  bool local = false;
  bool dsr = false;
  bool has_forward = false;  // the halves found; the programs make one anew from the other
  bool has_reply = false;
  uint64_t idle_s = 0;
  uint64_t expires_s = 0;
  std::string out;               // what packets to the backend leave by: a device, "stack", or empty
  uint32_t packets_forward = 0;  // wraps
  uint32_t packets_reply = 0;
};

// An address with or without a port, or a prefix.
struct EndpointFilter {
  Cidr range;
  uint16_t port = 0;  // 0: any

  bool Matches(const Endpoint& endpoint) const;
};
Result<EndpointFilter> ParseEndpointFilter(std::string_view text);

// What the user asked to see. Empty matches everything.
struct FlowFilter {
  std::string ns, name;  // of the Service
  std::optional<EndpointFilter> src, dst, backend;
  std::string state;
  std::optional<kube::Protocol> protocol;

  bool MatchesService(const std::optional<plan::ServicePortKey>& service) const;
  bool Matches(const Flow& flow) const;
  bool IsEmpty() const;
};

// What is needed to say what an entry means.
struct FlowContext {
  fairlead_config config{};  // that of the programs in use
  uint32_t now_tick = 0;
  std::map<uint32_t, plan::ServicePortKey> services;
  std::map<uint32_t, std::string> devices;  // by ifindex
};

// The flows that match, in no order. One that is made or ends meanwhile may be among them or not.
std::vector<Flow> ReadFlows(const ebpf::FlowTable& table, const FlowContext& context,
                            const FlowFilter& filter);

// Frees the entries of the flows that match; how many flows. What a packet makes anew of a half while its
// other is being freed is freed too.
size_t DeleteFlows(ebpf::FlowTable& table, const FlowContext& context, const FlowFilter& filter);

// Each returns whole lines.
std::string RenderFlows(std::vector<Flow> flows, Format format);
std::string RenderFlowCounts(const std::vector<Flow>& flows, Format format);
// "87s", "12m05s", "5h07m", "4d01h".
std::string DurationText(uint64_t seconds);

}  // namespace fairlead::ctl
