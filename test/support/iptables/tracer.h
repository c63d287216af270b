// SPDX-License-Identifier: Apache-2.0
// Walks an imaginary packet through the rules that iptables mode renders from a plan.
#pragma once

#include <array>
#include <memory>

#include "agent/datapath/netfilter/options.h"
#include "test/support/behaviour.h"
#include "test/support/iptables/rules.h"

namespace fairlead::test {

class IptablesTracer : public Tracer {
 public:
  explicit IptablesTracer(netfilter::NetfilterOptions options) : options_(std::move(options)) {}

  void Program(const plan::Plan& plan, const plan::NodePlan& node) override;
  std::set<Traced> Trace(const TracePacket& packet) override;

 private:
  netfilter::NetfilterOptions options_;
  std::set<Address> node_addresses_;
  std::array<std::unique_ptr<IptablesRules>, 2> rules_;  // IPv4, IPv6
};

}  // namespace fairlead::test
