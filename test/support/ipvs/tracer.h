// SPDX-License-Identifier: Apache-2.0
// Walks an imaginary packet past the rules, sets and virtual servers that ipvs mode renders from a plan.
#pragma once

#include <array>
#include <memory>
#include <set>

#include "agent/datapath/ipvs/ledger.h"
#include "agent/datapath/netfilter/options.h"
#include "test/support/behaviour.h"
#include "test/support/iptables/rules.h"

namespace fairlead::test {

class IpvsTracer : public Tracer {
 public:
  explicit IpvsTracer(netfilter::NetfilterOptions options) : options_(std::move(options)) {}

  void Program(const plan::Plan& plan, const plan::NodePlan& node) override;
  std::set<Traced> Trace(const TracePacket& packet) override;

 private:
  bool InSet(const std::string& name, const std::string& flags, const RulePacket& packet) const;

  netfilter::NetfilterOptions options_;
  ipvs::Ledger ledger_;
  std::set<Address> node_addresses_;
  std::set<ipvs::Element> elements_;                     // of every set
  std::array<std::unique_ptr<IptablesRules>, 2> rules_;  // IPv4, IPv6
};

}  // namespace fairlead::test
