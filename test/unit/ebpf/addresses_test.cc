// SPDX-License-Identifier: Apache-2.0
// Roles of addresses as a whole, through the writer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::Addr;
using test::Gone;
using test::PortOf;
using test::Rig;
using testing::IsEmpty;

PortOf Web() {
  return PortOf("shop/web")
      .ClusterIp("172.30.0.10", 80)
      .LoadBalancer("198.51.100.4", 80)
      .On({"10.180.1.11:80"});
}
PortOf Mail() {
  return PortOf("shop/mail")
      .ClusterIp("172.30.0.11", 25)
      .ExternalIp("198.51.100.4", 25)
      .On({"10.180.1.11:25"});
}

// Of an address; "-" if the table knows nothing of it.
std::string Roles(Rig& rig, const std::string& address) {
  auto entries = rig.Entries();
  auto it = entries.find("address " + address);
  return it == entries.end() ? "-" : it->second;
}

TEST(AddressRoles, AnExternalAddressKeepsItsRoleWhileAServiceHasIt) {
  Rig rig;
  rig.Apply({Web(), Mail()});
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "external");
  rig.Apply({Gone(Web())});
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "external");
  EXPECT_EQ(Roles(rig, "172.30.0.10"), "-");
  rig.Apply({Gone(Mail())});
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "-");
}

TEST(AddressRoles, ANodeAddressThatIsAnExternalIpHasBothRoles) {
  Rig rig;
  plan::NodePlan node;
  node.nodeport_addresses = {Addr("198.51.100.4")};
  ASSERT_TRUE(rig.writer->ApplyNode(node));
  rig.Apply({Mail()});
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "external, node");
  rig.Apply({Gone(Mail())});
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "node");
}

TEST(AddressRoles, NodePortsGiveNoAddressARole) {
  Rig rig;
  rig.Apply({PortOf("shop/web").NodePort(30001)});
  EXPECT_EQ(Roles(rig, "0.0.0.0"), "-");
}

TEST(AddressRoles, AServiceThatIsNotAppliedAfterARestartKeepsItsRolesUntilItIsPruned) {
  Rig rig;
  rig.Apply({Web(), Mail()});
  rig.Settle();
  EXPECT_THAT(rig.Restart(), IsEmpty());
  rig.Apply({Mail()});
  EXPECT_EQ(Roles(rig, "172.30.0.10"), "cluster IP");
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "external");
  ASSERT_TRUE(rig.writer->Prune());
  rig.Settle();
  EXPECT_EQ(Roles(rig, "172.30.0.10"), "-");
  EXPECT_EQ(Roles(rig, "198.51.100.4"), "external") << "shop/mail has it";
}

}  // namespace
}  // namespace fairlead::ebpf
