// SPDX-License-Identifier: Apache-2.0
// nf_conntrack's UDP entries that no longer fit the plan, for the datapaths whose NAT it does. Level
// triggered: a pass looks at the whole plan and the whole table, so what one pass missed the next one finds.
//
// An entry goes (SEMANTICS section 10; kube-proxy: pkg/proxy/conntrack/cleanup.go) when its original
// destination is a frontend of a UDP service port (a NodePort: the port, whatever the address) and the source
// of its reply direction is no serving endpoint of it. Beyond kube-proxy: a service port without serving
// endpoints has its translated entries removed too, and so has one that is gone: an entry that was translated
// by us (IPS_DST_NAT) to a backend that no frontend of that destination has any more, remembered for as long
// as such an entry may live. TCP and SCTP entries are never touched.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/plan/plan.h"

namespace fairlead::netfilter {

// What a pass over one family did.
struct UdpPass {
  Family family = Family::kIpv4;
  double seconds = 0;
  uint64_t deleted = 0;
};

class UdpFlows {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<std::unique_ptr<UdpFlows>> Open();
  virtual ~UdpFlows() = default;

  // What the datapath has been told; call after it has been written (rules first, then entries).
  virtual void Note(std::span<const plan::Change> changes) = 0;
  virtual void SetNode(const plan::NodePlan& node) = 0;

  // Runs a pass if one is due: after UDP changes, and now and then. When it wants to be called again.
  virtual std::optional<Clock::time_point> Poll(Clock::time_point now) = 0;
  // Passes since the last call. The syncer's thread.
  virtual std::vector<UdpPass> Take() = 0;
};

}  // namespace fairlead::netfilter
