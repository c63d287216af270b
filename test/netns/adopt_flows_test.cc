// SPDX-License-Identifier: Apache-2.0
// Which connections that are handed over become entries of nf_conntrack, and what entries.
#include "agent/datapath/modes/adopt_flows.h"

#include <gmock/gmock.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>

#include <optional>
#include <vector>

#include "agent/datapath/netfilter/conntrack.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using netfilter::ConntrackEntry;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using FlowEnd = ebpf::HandedFlow::End;

FlowEnd EndAt(std::string_view text) {
  const Target target = At(text);
  return {target.address, target.port};
}

// As answered: from a client outside to a backend elsewhere, masqueraded.
ebpf::HandedFlow Web() {
  return {.protocol = plan::Protocol::kTcp,
          .client = EndAt("203.0.113.2:40000"),
          .frontend = EndAt("198.51.100.4:80"),
          .source = EndAt("192.168.99.11:50000"),
          .backend = EndAt("10.180.1.11:8080"),
          .answered = true,
          .half_closed = false,
          .left = seconds(1000)};
}

class AdoptFlowsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    node_.emplace(Namespace::Create(Sandbox::Get().NamePrefix() + "adopt"));
  }

  size_t Adopt(std::vector<ebpf::HandedFlow> flows) {
    const NetnsScope inside(*node_);
    auto adopted = modes::AdoptFlows(flows, [&]() -> Result<void> {
      guarded_ = GuardStands();
      return {};
    });
    EXPECT_TRUE(adopted) << adopted.error().message;
    EXPECT_FALSE(GuardStands()) << "only while the programs are taken off";
    return adopted.value_or(0);
  }
  // "client>frontend backend>source", of every entry.
  std::vector<std::string> Entries() {
    std::vector<std::string> entries;
    Walk([&](const ConntrackEntry& entry) {
      const auto text = [](const ConntrackEntry::End& end) { return AddressPort(end.address, end.port); };
      entries.push_back(fmt::format("{}>{} {}>{}", text(entry.source), text(entry.destination),
                                    text(entry.reply_source), text(entry.reply_destination)));
    });
    return entries;
  }
  ConntrackEntry OnlyEntry() {
    std::vector<ConntrackEntry> entries;
    Walk([&](const ConntrackEntry& entry) { entries.push_back(entry); });
    EXPECT_EQ(entries.size(), 1u);
    return entries.empty() ? ConntrackEntry() : entries.front();
  }
  static bool GuardStands() {
    return test::Run({"nft", "list", "table", "inet", "fairlead-change"}).status == 0;
  }

  std::optional<Namespace> node_;
  bool guarded_ = false;  // while the programs were taken off

 private:
  void Walk(const std::function<void(const ConntrackEntry&)>& visit) {
    const NetnsScope inside(*node_);
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      auto walked = netfilter::AnyConntrackEntry({.family = family, .protocol = 0, .status = 0},
                                                 [&](const ConntrackEntry& entry) {
                                                   visit(entry);
                                                   return false;
                                                 });
      ASSERT_TRUE(walked) << walked.error().message;
    }
  }
};

TEST_F(AdoptFlowsTest, AConnectionIsTranslatedAsItWas) {
  ebpf::HandedFlow kept = Web(), six = Web();
  kept.client.port = 40001;
  kept.source = kept.client;  // a backend here sees the client
  six.client = EndAt("[fd00:203:0:113::2]:40000");
  six.frontend = EndAt("[fd00:198:51:100::4]:80");
  six.source = EndAt("[fd00:192:168:99::11]:50000");
  six.backend = EndAt("[fd00:10:180:1::11]:8080");
  EXPECT_EQ(Adopt({Web(), kept, six}), 3u);
  EXPECT_THAT(Entries(),
              UnorderedElementsAre("203.0.113.2:40000>198.51.100.4:80 10.180.1.11:8080>192.168.99.11:50000",
                                   "203.0.113.2:40001>198.51.100.4:80 10.180.1.11:8080>203.0.113.2:40001",
                                   "[fd00:203:0:113::2]:40000>[fd00:198:51:100::4]:80 "
                                   "[fd00:10:180:1::11]:8080>[fd00:192:168:99::11]:50000"));
}

TEST_F(AdoptFlowsTest, TheStateOfTheConnectionIsThatOfTheEntry) {
  struct Case {
    const char* says;
    bool answered, half_closed;
    uint8_t state;
    bool assured;
  };
  const Case kCases[] = {{"answered", true, false, TCP_CONNTRACK_ESTABLISHED, true},
                         {"closed by one side", true, true, TCP_CONNTRACK_CLOSE_WAIT, true},
                         {"not answered yet", false, false, TCP_CONNTRACK_SYN_SENT, false}};
  for (const Case& c : kCases) {
    ebpf::HandedFlow flow = Web();
    flow.answered = c.answered;
    flow.half_closed = c.half_closed;
    Adopt({flow});
    EXPECT_EQ(OnlyEntry().tcp_state, c.state) << c.says;
    EXPECT_EQ((OnlyEntry().status & IPS_ASSURED) != 0, c.assured) << c.says;
    EXPECT_EQ(OnlyEntry().status & IPS_NAT_MASK, uint32_t{IPS_SRC_NAT | IPS_DST_NAT}) << c.says;
  }
}

TEST_F(AdoptFlowsTest, AnEntryLastsAsLongAsTheFlowButNotLongerThanTheKernelsOwn) {
  struct Case {
    const char* says;
    bool answered, half_closed;
    seconds left, expected;
  };
  const Case kCases[] = {{"what is left", true, false, seconds(1000), seconds(1000)},
                         {"established", true, false, seconds(200000), seconds(86400)},
                         {"half closed", true, true, seconds(200000), seconds(3600)},
                         {"unanswered", false, false, seconds(200000), seconds(120)}};
  for (const Case& c : kCases) {
    ebpf::HandedFlow flow = Web();
    flow.answered = c.answered;
    flow.half_closed = c.half_closed;
    flow.left = c.left;
    Adopt({flow});
    EXPECT_LE(OnlyEntry().left, c.expected) << c.says;
    EXPECT_GE(OnlyEntry().left, c.expected - seconds(20)) << c.says;
  }
}

TEST_F(AdoptFlowsTest, OfUdpNothingIsMadeAndWhatStandsInItsWayGoes) {
  ebpf::HandedFlow before = Web(), datagrams = Web();
  before.client = EndAt("10.180.1.11:8080");  // as nf_conntrack sees the answers of the programs' flow
  before.frontend = EndAt("192.168.99.11:50000");
  Adopt({before});
  ASSERT_THAT(Entries(), testing::SizeIs(1));
  datagrams.protocol = plan::Protocol::kUdp;
  EXPECT_EQ(Adopt({datagrams}), 0u);
  EXPECT_THAT(Entries(), testing::SizeIs(1)) << "of another protocol";
  EXPECT_EQ(Adopt({Web()}), 1u);
  EXPECT_THAT(Entries(),
              ElementsAre("203.0.113.2:40000>198.51.100.4:80 10.180.1.11:8080>192.168.99.11:50000"));
}

TEST_F(AdoptFlowsTest, OneThatCannotBeMadeKeepsNoOtherFromGoingOn) {
  ebpf::HandedFlow twice = Web(), other = Web();
  other.client.port = 40002;
  other.source.port = 50002;
  EXPECT_EQ(Adopt({Web(), twice, other}), 2u);
  EXPECT_THAT(Entries(), testing::SizeIs(2));
}

TEST_F(AdoptFlowsTest, TheGuardStandsWhileTheProgramsAreTakenOffAndOnlyIfThereAreConnections) {
  EXPECT_EQ(Adopt({}), 0u);
  EXPECT_FALSE(guarded_);
  Adopt({Web()});
  EXPECT_TRUE(guarded_);
}

TEST_F(AdoptFlowsTest, WhereTheProgramsStayNothingIsAdoptedAndTheGuardGoes) {
  const NetnsScope inside(*node_);
  const std::vector flows{Web()};
  auto adopted = modes::AdoptFlows(flows, [] { return Result<void>(Fail(ErrorKind::kUnavailable, "busy")); });
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().message, "busy");
  EXPECT_FALSE(GuardStands());
  EXPECT_THAT(Entries(), IsEmpty());
}

}  // namespace
}  // namespace fairlead::test
