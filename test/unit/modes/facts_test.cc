// SPDX-License-Identifier: Apache-2.0
// Where the modes differ in what they make of the same settings.
#include "agent/datapath/modes/facts.h"

#include <gmock/gmock.h>

#include "agent/plan/node.h"

namespace fairlead::modes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Row {
  Mode mode;
  bool primary, loopback_v4, loopback_v6, maglev_and_dsr;
};

TEST(FactsIn, DifferByMode) {
  for (const Row& row :
       {Row{Mode::kEbpf, false, true, true, true}, Row{Mode::kNftables, true, false, false, false},
        Row{Mode::kIpvs, false, false, false, false}, Row{Mode::kIptables, false, true, false, false}}) {
    SCOPED_TRACE(ModeName(row.mode));
    plan::NodeFacts facts = FactsIn(row.mode, {});
    EXPECT_EQ(facts.nodeport_primary, row.primary);
    EXPECT_EQ(facts.serves_maglev, row.maglev_and_dsr);
    EXPECT_EQ(facts.serves_dsr, row.maglev_and_dsr);
    facts.nodeport_primary = false;  // takes loopback away by itself
    plan::NodePlan node = plan::PlanNode(facts, {});
    EXPECT_EQ(node.loopback_nodeports_v4, row.loopback_v4);
    EXPECT_EQ(node.loopback_nodeports_v6, row.loopback_v6);
  }
}

TEST(FactsIn, NodePortAddressesThatWereNamedStayAsTheyAre) {
  plan::NodeFacts facts;
  facts.nodeport_cidrs = {*Cidr::Parse("192.168.99.0/24")};
  EXPECT_FALSE(FactsIn(Mode::kNftables, facts).nodeport_primary);
}

TEST(FactsIn, LocalhostNodePortsThatAreOffStayOff) {
  plan::NodeFacts facts;
  facts.localhost_nodeports = false;
  EXPECT_FALSE(FactsIn(Mode::kEbpf, facts).localhost_nodeports);
  EXPECT_FALSE(FactsIn(Mode::kIptables, facts).localhost_nodeports);
}

TEST(WithoutEffect, DefaultsAreNotMentioned) {
  for (Mode mode : kModes) EXPECT_THAT(WithoutEffect(mode, {}), IsEmpty()) << ModeName(mode);
}

TEST(WithoutEffect, MasqueradeAllChangesNothingAtTheSocket) {
  Options options;
  options.masquerade_all = true;
  EXPECT_THAT(WithoutEffect(Mode::kEbpf, options), ElementsAre(HasSubstr("masqueradeAll")));
  EXPECT_THAT(WithoutEffect(Mode::kIptables, options), IsEmpty());
}

TEST(WithoutEffect, SettingsOfThePacketProgramsAreNamedElsewhere) {
  Options options;
  options.xdp = "native";
  options.pod_delivery = "direct";
  options.default_algorithm = "maglev";
  EXPECT_THAT(WithoutEffect(Mode::kEbpf, options), IsEmpty());
  EXPECT_THAT(WithoutEffect(Mode::kIpvs, options),
              ElementsAre(HasSubstr("xdp: has no effect in ipvs mode"), HasSubstr("podDelivery direct"),
                          AllOf(HasSubstr("maglev"), HasSubstr("ipvs.scheduler"))));
}

}  // namespace
}  // namespace fairlead::modes
