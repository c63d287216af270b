// SPDX-License-Identifier: Apache-2.0
// The behaviour table on every datapath, for both families: each row's objects are planned as the mode plans
// them, and the packet is walked through what the datapath makes of the plan.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>

#include "agent/datapath/modes/facts.h"
#include "test/support/behaviour_table.h"
#include "test/support/ebpf/tracer.h"
#include "test/support/iptables/tracer.h"
#include "test/support/ipvs/tracer.h"
#include "test/support/nftables/tracer.h"
#include "test/support/sandbox.h"
#include "test/support/world.h"

namespace fairlead::test {
namespace {

struct Case {
  Behaviour row;
  Mode mode;
  Family family;
};

void PrintTo(const Case& self, std::ostream* out) {
  *out << self.row.name() << " (" << Word(self.mode) << ")";
}

netfilter::NetfilterOptions NetfilterOptionsOf(const NodeSetup& node) {
  netfilter::NetfilterOptions options;
  options.local_traffic.by = node.detector == NodeSetup::Detector::kNone
                                 ? netfilter::LocalTraffic::By::kNothing
                                 : netfilter::LocalTraffic::By::kPrefix;
  return options;
}

std::unique_ptr<Tracer> MakeTracer(Mode mode, const NodeSetup& node) {
  switch (mode) {
    case Mode::kEbpf:
      return std::make_unique<EbpfTracer>();
    case Mode::kNftables:
      return std::make_unique<NftablesTracer>(NetfilterOptionsOf(node));
    case Mode::kIptables:
      return std::make_unique<IptablesTracer>(NetfilterOptionsOf(node));
    case Mode::kIpvs:
      break;
  }
  return std::make_unique<IpvsTracer>(NetfilterOptionsOf(node));
}

std::vector<Case> EveryCase() {
  std::vector<Case> cases;
  for (auto section : {BehavioursOfLists, BehavioursOfDestinations, BehavioursOfSources}) {
    for (const Behaviour& row : section()) {
      for (Mode mode : kEveryMode) {
        for (Family family : {Family::kIpv4, Family::kIpv6}) {
          if (row.Has(family)) cases.push_back({row, mode, family});
        }
      }
    }
  }
  return cases;
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  const std::string_view family = info.param.family == Family::kIpv4 ? "ipv4" : "ipv6";
  std::string name = fmt::format("{}_{}_{}", Word(info.param.mode), family, info.param.row.name());
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

modes::Mode ModeOf(Mode mode) {
  switch (mode) {
    case Mode::kEbpf:
      return modes::Mode::kEbpf;
    case Mode::kNftables:
      return modes::Mode::kNftables;
    case Mode::kIptables:
      return modes::Mode::kIptables;
    case Mode::kIpvs:
      break;
  }
  return modes::Mode::kIpvs;
}

class BehaviourTest : public testing::TestWithParam<Case> {};

TEST_P(BehaviourTest, Holds) {
  const auto& [row, mode, family] = GetParam();
  if (const std::string why = row.WhyNotIn(mode); !why.empty()) GTEST_SKIP() << why;
  if (const auto why = mode == Mode::kEbpf ? WhyNoLab() : std::nullopt) GTEST_SKIP() << *why;

  const std::unique_ptr<Tracer> tracer = MakeTracer(mode, row.node());
  const plan::NodeFacts facts = modes::FactsIn(ModeOf(mode), row.node().Facts(family));
  for (auto& state : row.States(family)) {
    World world(facts);
    world.Apply(std::move(state));
    tracer->Program(world.planner.plan(), world.planner.PlanNode(world.cluster));
  }

  const TracePacket packet = row.PacketOf(family);
  EXPECT_EQ(Text(tracer->Trace(packet), packet), row.OutcomeIn(mode)) << row.name();
}

INSTANTIATE_TEST_SUITE_P(Rows, BehaviourTest, testing::ValuesIn(EveryCase()), NameOf);

}  // namespace
}  // namespace fairlead::test
