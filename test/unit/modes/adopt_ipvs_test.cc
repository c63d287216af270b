// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/adopt_ipvs.h"

#include <gmock/gmock.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

#include <sstream>

#include "test/support/objects.h"

namespace fairlead::test {
namespace {

using ebpf::HandedFlow;
using netfilter::ConntrackEntry;
using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<ipvs::ServerKey> kServers = {{Addr("172.30.0.10"), 80, plan::Protocol::kTcp},
                                               {Addr("172.30.0.10"), 53, plan::Protocol::kUdp}};

// A pod's connection to the Service, masqueraded on its way to the backend.
ConntrackEntry Connection() {
  ConntrackEntry entry;
  entry.protocol = IPPROTO_TCP;
  entry.source = {Addr("10.180.0.100"), 40000};
  entry.destination = {Addr("172.30.0.10"), 80};
  entry.reply_source = {Addr("10.180.1.11"), 8080};
  entry.reply_destination = {Addr("192.168.99.11"), 51000};
  entry.status = IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED | IPS_SRC_NAT;
  entry.tcp_state = TCP_CONNTRACK_ESTABLISHED;
  entry.left = std::chrono::seconds(600);
  return entry;
}
std::vector<HandedFlow> Flows(const ConntrackEntry& entry) {
  return modes::IpvsFlows({&entry, 1}, kServers);
}

TEST(AdoptIpvsTest, AConnectionKeepsItsBackendAndTheSourceThatTheBackendSees) {
  HandedFlow expected;
  expected.client = {Addr("10.180.0.100"), 40000};
  expected.frontend = {Addr("172.30.0.10"), 80};
  expected.source = {Addr("192.168.99.11"), 51000};
  expected.backend = {Addr("10.180.1.11"), 8080};
  expected.answered = true;
  expected.left = std::chrono::seconds(600);
  EXPECT_THAT(Flows(Connection()), ElementsAre(expected));
}

TEST(AdoptIpvsTest, ItsStateGoesWithIt) {
  ConntrackEntry entry = Connection();
  entry.tcp_state = TCP_CONNTRACK_SYN_SENT;
  EXPECT_FALSE(Flows(entry).at(0).answered);
  for (const uint8_t state : {TCP_CONNTRACK_FIN_WAIT, TCP_CONNTRACK_CLOSE_WAIT, TCP_CONNTRACK_LAST_ACK}) {
    entry.tcp_state = state;
    EXPECT_TRUE(Flows(entry).at(0).half_closed);
  }
}

TEST(AdoptIpvsTest, OneThatIsOverIsLeftOut) {
  ConntrackEntry entry = Connection();
  for (const uint8_t state : {TCP_CONNTRACK_TIME_WAIT, TCP_CONNTRACK_CLOSE}) {
    entry.tcp_state = state;
    EXPECT_THAT(Flows(entry), IsEmpty());
  }
}

TEST(AdoptIpvsTest, ADatagramsEntryIsAmongThemSinceItMustGo) {
  ConntrackEntry entry = Connection();
  entry.protocol = IPPROTO_UDP;
  entry.destination.port = 53;
  entry.tcp_state = TCP_CONNTRACK_NONE;
  ASSERT_EQ(Flows(entry).size(), 1u);
  EXPECT_EQ(Flows(entry)[0].protocol, plan::Protocol::kUdp);
}

TEST(AdoptIpvsTest, WhatIsNotOfTheseServersIsLeftAlone) {
  ConntrackEntry other_port = Connection();
  other_port.destination.port = 443;
  EXPECT_THAT(Flows(other_port), IsEmpty());
  ConntrackEntry by_rules = Connection();
  by_rules.status |= IPS_DST_NAT;
  EXPECT_THAT(Flows(by_rules), IsEmpty());
  ConntrackEntry untranslated = Connection();
  untranslated.reply_source = untranslated.destination;
  EXPECT_THAT(Flows(untranslated), IsEmpty());
}

TEST(AdoptIpvsTest, TheNodesOwnByTheServicesAddressIsLeftOut) {
  ConntrackEntry entry = Connection();
  entry.source.address = entry.destination.address;
  EXPECT_THAT(Flows(entry), IsEmpty());
}

TEST(AdoptIpvsTest, WhatIpvsStillKnowsIsCountedByItsEnds) {
  HandedFlow four, six;
  four.client = {Addr("10.180.0.100"), 40000};
  four.frontend = {Addr("172.30.0.10"), 80};
  six.client = {Addr("fd00:10:180::100"), 40000};
  six.frontend = {Addr("fd00:172:30::10"), 80};
  std::istringstream table(
      "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
      "TCP 0AB40064 9C40 AC1E000A 0050 0AB4010B 1F90 ESTABLISHED     899\n"
      "TCP 0AB40064 9C41 AC1E000A 0050 0AB4010B 1F90 ESTABLISHED     899\n"
      "TCP fd00:0010:0180:0000:0000:0000:0000:0100 9C40 fd00:0172:0030:0000:0000:0000:0000:0010 0050 "
      "fd00:0010:0180:0001:0000:0000:0000:0011 1F90 ESTABLISHED     899\n");
  EXPECT_EQ(modes::CountIpvsConnections(table, std::vector{four, six}), 2u);
}

}  // namespace
}  // namespace fairlead::test
