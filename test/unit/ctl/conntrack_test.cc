// SPDX-License-Identifier: Apache-2.0
// Flows as fairleadctl reads, shows and deletes them.
#include "agent/ctl/conntrack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "agent/ctl/conntrack_command.h"
#include "test/support/ebpf/flows.h"
#include "test/support/objects.h"

namespace fairlead::ctl {
namespace {

using test::FlowMaker;
using test::FlowOf;
using test::kFlowKeys;
using testing::ElementsAre;
using testing::HasSubstr;

FlowContext Context() {
  FlowContext context;
  context.config.tick_ms = 1024;
  context.config.flow_timeout[FLOW_ESTABLISHED] = 84375;  // 86400 s
  context.config.flow_timeout[FLOW_STREAM] = 117;
  context.config.flow_timeout[FLOW_SYN] = 117;
  context.now_tick = 1000;
  context.services[3] = {test::Name("shop/cart"), "http", kube::Protocol::kTcp, Family::kIpv4};
  context.services[4] = {test::Name("shop/dns"), "", kube::Protocol::kUdp, Family::kIpv6};
  context.devices[2] = "eth0";
  return context;
}

class ConntrackTest : public testing::Test {
 protected:
  ConntrackTest() {
    maker_.Make(cart_);
    maker_.Make(syn_);
    maker_.Make(dns_);
  }
  std::vector<Flow> Read(const FlowFilter& filter = {}) { return ReadFlows(table_, Context(), filter); }
  std::vector<std::string> Clients(const FlowFilter& filter) {
    std::vector<std::string> clients;
    for (const Flow& flow : Read(filter)) clients.push_back(flow.client.ToString());
    std::sort(clients.begin(), clients.end());
    return clients;
  }
  FlowFilter Filter(FlowWords words) {
    auto request = ParseFlowRequest(words);
    EXPECT_TRUE(request.has_value()) << request.error().message;
    return request ? request->filter : FlowFilter();
  }

  test::FlowMemory sets_{16};
  ebpf::FlowTable table_{sets_, kFlowKeys};
  FlowMaker maker_{sets_, kFlowKeys};
  FlowOf cart_ = FlowOf("203.0.113.2:40000", "198.51.100.4:80")
                     .SeenAs("192.168.99.11:50000")
                     .Ids(3, 7)
                     .LastSeen(990)
                     .Out(2);
  FlowOf syn_ = FlowOf("203.0.113.3:40000", "198.51.100.4:80")
                    .State(FLOW_SYN)
                    .Ids(3, 7)
                    .LastSeen(1001)
                    .Out(0, EGRESS_STACK);
  FlowOf dns_ =
      FlowOf("[2001:db8::2]:5353", "[2001:db8::53]:53").To("[fd00::1]:53").Udp().Ids(4, 9).LastSeen(500);
};

TEST_F(ConntrackTest, BothDirectionsAreOneRow) {
  auto rows = Read(Filter({.src = "203.0.113.2"}));
  ASSERT_EQ(rows.size(), 1u);
  const Flow& flow = rows[0];
  EXPECT_EQ(flow.client.ToString(), "203.0.113.2:40000");
  EXPECT_EQ(flow.frontend.ToString(), "198.51.100.4:80");
  EXPECT_EQ(flow.backend.ToString(), "10.180.1.11:8080");
  EXPECT_EQ(flow.source.ToString(), "192.168.99.11:50000");
  EXPECT_EQ(ServiceText(flow.service.value()), "shop/cart:http");
  EXPECT_EQ(flow.state, "established");
  EXPECT_TRUE(flow.masqueraded);
  EXPECT_TRUE(flow.local);
  EXPECT_EQ(flow.out, "eth0");
  EXPECT_EQ(flow.idle_s, 10u);
  EXPECT_EQ(flow.expires_s, 86389u);
  EXPECT_TRUE(flow.has_forward && flow.has_reply);
}

TEST_F(ConntrackTest, EitherHalfTellsTheSame) {
  const Flow whole = Read(Filter({.src = "203.0.113.2"})).at(0);
  for (const flow& missing : {cart_.Forward(), cart_.Reply()}) {
    sets_.Clear();
    maker_.Make(cart_);
    ASSERT_TRUE(table_.Free(table_.Find(missing.key).value(), false));
    auto rows = Read();
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].client, whole.client);
    EXPECT_EQ(rows[0].frontend, whole.frontend);
    EXPECT_EQ(rows[0].backend, whole.backend);
    EXPECT_EQ(rows[0].source, whole.source);
    EXPECT_NE(rows[0].has_forward, rows[0].has_reply);
  }
}

TEST_F(ConntrackTest, AFlowIsAsOldAsItsYoungerHalf) {
  auto reply = table_.Find(cart_.Reply().key).value();
  FlowMaker::Touch(sets_[reply.place.set], reply.place.way, 999);
  EXPECT_EQ(Read(Filter({.src = "203.0.113.2"})).at(0).idle_s, 1u);
}

TEST_F(ConntrackTest, TimesBeforeAndAfterTheirEndAreZeroAndNotHuge) {
  EXPECT_EQ(Read(Filter({.src = "203.0.113.3"})).at(0).idle_s, 0u)
      << "a packet came after the clock was read";
  EXPECT_EQ(Read(Filter({.protocol = "udp"})).at(0).expires_s, 0u);
}

TEST_F(ConntrackTest, FiltersNarrowTheList) {
  const std::string cart = "203.0.113.2:40000", syn = "203.0.113.3:40000", dns = "[2001:db8::2]:5353";
  EXPECT_THAT(Clients(Filter({.src = "203.0.113.0/24"})), ElementsAre(cart, syn));
  EXPECT_THAT(Clients(Filter({.src = "203.0.113.2:40000"})), ElementsAre(cart));
  EXPECT_THAT(Clients(Filter({.src = "203.0.113.2:40001"})), ElementsAre());
  EXPECT_THAT(Clients(Filter({.dst = "198.51.100.4:80"})), ElementsAre(cart, syn));
  EXPECT_THAT(Clients(Filter({.dst = "[2001:db8::53]"})), ElementsAre(dns));
  EXPECT_THAT(Clients(Filter({.backend = "[fd00::1]:53"})), ElementsAre(dns));
  EXPECT_THAT(Clients(Filter({.service = "shop/cart"})), ElementsAre(cart, syn));
  EXPECT_THAT(Clients(Filter({.state = "syn"})), ElementsAre(syn));
  EXPECT_THAT(Clients(Filter({.protocol = "udp"})), ElementsAre(dns));
  EXPECT_THAT(Clients(Filter({.service = "shop/cart", .state = "established"})), ElementsAre(cart));
}

TEST_F(ConntrackTest, WordsThatMakeNoSenseAreRefusedByName) {
  const std::pair<FlowWords, const char*> rows[] = {
      {{.action = "erase"}, "list, count or delete"},
      {{.src = "nowhere"}, "--src"},
      {{.dst = "10.0.0.0/99"}, "--dst"},
      {{.service = "cart"}, "NAMESPACE/NAME"},
      {{.state = "open"}, "half_closed"},
      {{.protocol = "sctp"}, "tcp or udp"},
      {{.action = "delete"}, "--all"},
  };
  for (const auto& [words, expected] : rows) {
    auto request = ParseFlowRequest(words);
    ASSERT_FALSE(request.has_value()) << expected;
    EXPECT_THAT(request.error().message, HasSubstr(expected));
  }
  EXPECT_TRUE(ParseFlowRequest({.action = "delete", .all = true}).has_value());
}

TEST_F(ConntrackTest, ADeletionTakesBothHalvesOfWhatMatchesAndNothingElse) {
  EXPECT_EQ(DeleteFlows(table_, Context(), Filter({.state = "established"})), 1u);
  EXPECT_FALSE(table_.Find(cart_.Forward().key).has_value());
  EXPECT_FALSE(table_.Find(cart_.Reply().key).has_value());
  EXPECT_THAT(Clients({}), ElementsAre("203.0.113.3:40000", "[2001:db8::2]:5353"));
}

// A UDP flow that was given another backend leaves the half for answers of the old one behind.
TEST_F(ConntrackTest, DeletingAHalfLeavesTheFlowThatOnlyHasTheKeyOfItsOther) {
  FlowOf before = FlowOf(dns_).To("[fd00::2]:53");
  ASSERT_TRUE(maker_.Make(before.Reply()));
  EXPECT_EQ(DeleteFlows(table_, Context(), Filter({.backend = "[fd00::2]"})), 1u);
  EXPECT_FALSE(table_.Find(before.Reply().key).has_value());
  EXPECT_TRUE(table_.Find(dns_.Forward().key).has_value());
  EXPECT_TRUE(table_.Find(dns_.Reply().key).has_value());
}

TEST_F(ConntrackTest, ReadingChangesNothing) {
  const std::vector<flow_set> before = sets_.entries();
  (void)Read();
  EXPECT_EQ(std::memcmp(before.data(), sets_.entries().data(), sets_.size() * sizeof(flow_set)), 0);
}

TEST_F(ConntrackTest, TheListIsForPeople) {
  EXPECT_EQ("\n" + RenderFlows(Read(Filter({.service = "shop/cart"})), Format::kTable), R"(
SERVICE         PROTOCOL  CLIENT             FRONTEND         BACKEND           SEEN AS              STATE        IDLE  EXPIRES IN  OUT
shop/cart:http  TCP       203.0.113.2:40000  198.51.100.4:80  10.180.1.11:8080  192.168.99.11:50000  established   10s      23h59m  eth0
shop/cart:http  TCP       203.0.113.3:40000  198.51.100.4:80  10.180.1.11:8080  -                    syn            0s        119s  stack
)");
  EXPECT_EQ(RenderFlows({}, Format::kTable), "no flows\n");
}

TEST_F(ConntrackTest, AServiceThatIsGoneIsShownByItsId) {
  maker_.Make(FlowOf("203.0.113.9:1", "198.51.100.9:80").Ids(99, 1).LastSeen(1000));
  EXPECT_THAT(RenderFlows(Read(Filter({.src = "203.0.113.9"})), Format::kWide), HasSubstr("(service id 99)"));
}

TEST_F(ConntrackTest, JsonHasOneObjectAFlow) {
  EXPECT_EQ(RenderFlows(Read(Filter({.src = "203.0.113.2"})), Format::kJson), R"([
  {
    "namespace": "shop",
    "name": "cart",
    "port_name": "http",
    "service_id": 3,
    "protocol": "TCP",
    "client": {
      "address": "203.0.113.2",
      "port": 40000
    },
    "frontend": {
      "address": "198.51.100.4",
      "port": 80
    },
    "backend": {
      "address": "10.180.1.11",
      "port": 8080
    },
    "source": {
      "address": "192.168.99.11",
      "port": 50000
    },
    "backend_id": 7,
    "masqueraded": true,
    "local": true,
    "dsr": false,
    "state": "established",
    "idle_s": 10,
    "expires_s": 86389,
    "out": "eth0",
    "halves": "both",
    "packets_forward": 0,
    "packets_reply": 0
  }
]
)");
}

TEST_F(ConntrackTest, CountsAreByState) {
  EXPECT_EQ("\n" + RenderFlowCounts(Read(), Format::kTable), R"(
STATE        FLOWS
established      1
stream           1
syn              1
all              3
)");
  EXPECT_THAT(RenderFlowCounts(Read(), Format::kJson), HasSubstr("\"flows\": 3"));
}

TEST(DurationTextTest, LongerTimesHaveCoarserUnits) {
  EXPECT_EQ(DurationText(0), "0s");
  EXPECT_EQ(DurationText(119), "119s");
  EXPECT_EQ(DurationText(120), "2m00s");
  EXPECT_EQ(DurationText(3599), "59m59s");
  EXPECT_EQ(DurationText(3600), "1h00m");
  EXPECT_EQ(DurationText(432000), "5d00h");
}

}  // namespace
}  // namespace fairlead::ctl
