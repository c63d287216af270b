// SPDX-License-Identifier: Apache-2.0
// nf_conntrack's UDP entries that no longer fit the plan, for the datapaths whose NAT it does. Level
// triggered: a pass looks at the whole plan and the whole table, so what one pass missed the next one finds.
//
// An entry goes (SEMANTICS section 10; kube-proxy: pkg/proxy/conntrack/cleanup.go) when its original
// destination is a frontend of a UDP service port and the source of its reply direction is no serving
// endpoint of it. Otherwise than kube-proxy:
//   - of a service port without serving endpoints, and of one that is gone, the translated entries go too;
//   - a NodePort counts on the node's own addresses only: a flow through this node to that port of somebody
//     else is none of ours, and its entry (with a masquerade of others, perhaps) stays;
//   - an entry that was not translated goes even if its address is that of an endpoint, on another port.
// What is not touched: TCP, SCTP, ICMP; entries of conntrack zones; translations of others, unless to a
// destination that is a Service's.
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
  double seconds = 0;  // of the thread's time
  uint64_t deleted = 0;
};

class UdpFlows {
 public:
  using Clock = std::chrono::steady_clock;

  static Result<std::unique_ptr<UdpFlows>> Open();
  virtual ~UdpFlows() = default;

  // What is in the kernel now; call after it has been written (rules first, then entries). Changes of other
  // protocols are passed over.
  virtual void Note(std::span<const plan::Change> changes) = 0;
  virtual void SetNode(const plan::NodePlan& node) = 0;

  // Goes on with a pass if one is due (after UDP changes, and now and then), for some 5 ms. When it wants to
  // be called again; nothing: not before the next change.
  virtual std::optional<Clock::time_point> Poll(Clock::time_point now) = 0;
  // Passes since the last call. The syncer's thread.
  virtual std::vector<UdpPass> Take() = 0;
};

}  // namespace fairlead::netfilter
