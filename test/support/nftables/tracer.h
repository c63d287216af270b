// SPDX-License-Identifier: Apache-2.0
// Walks an imaginary packet through the rules and elements that nftables mode writes for a plan.
#pragma once

#include <memory>
#include <optional>
#include <set>

#include "agent/datapath/netfilter/options.h"
#include "agent/datapath/nftables/writer.h"
#include "test/support/behaviour.h"
#include "test/support/nftables/fake_kernel.h"

namespace fairlead::test {

class NftablesTracer : public Tracer {
 public:
  explicit NftablesTracer(netfilter::NetfilterOptions options) : writer_(kernel_, std::move(options)) {}

  void Program(const plan::Plan& plan, const plan::NodePlan& node) override;
  std::set<Traced> Trace(const TracePacket& packet) override;

 private:
  FakeNftables kernel_;
  nftables::Writer writer_;
  plan::Plan programmed_;
  std::set<Address> node_addresses_;
};

}  // namespace fairlead::test
