// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/endpoints.h"

#include <gtest/gtest.h>

#include "test/support/world.h"

namespace fairlead::test {
namespace {

using plan::MergeSlices;
using plan::ServiceEndpoint;

// --- slices to endpoints
// ---------------------------------------------------------------------------------------

class MergeTest : public testing::Test {
 protected:
  void Add(const Slice& slice) { slices_[slice.Object().name.name] = slice.Object(); }
  // "address:port" of the merged endpoints of one service port, "*" behind local ones.
  std::string Merge(const std::string& port, Protocol protocol = Protocol::kTcp,
                    Family family = Family::kIpv4) const {
    std::string text;
    for (const ServiceEndpoint& e : MergeSlices(slices_, port, protocol, family, "n1")) {
      text += (text.empty() ? "" : " ") + AddressPort(e.address, e.port) + (e.local ? "*" : "");
    }
    return text;
  }
  std::map<std::string, kube::EndpointSlice> slices_;
};

TEST_F(MergeTest, SlicesAreMergedAndSortedByAddressAndPort) {
  Add(Slice("s/s").Named("a").Port("http", 8080).Endpoint("10.180.2.11").Endpoint("10.180.1.12"));
  Add(Slice("s/s").Named("b").Port("http", 8080).Endpoint("10.180.1.11"));
  EXPECT_EQ(Merge("http"), "10.180.1.11:8080 10.180.1.12:8080 10.180.2.11:8080");
}

TEST_F(MergeTest, APortBelongsToTheServicePortOfItsNameAndProtocolWhateverItsNumber) {
  Add(Slice("s/s").Named("a").Port("http", 8080).Endpoint("10.180.1.11"));
  Add(Slice("s/s").Named("b").Port("http", 9090).Port("dns", 53).Udp().Endpoint("10.180.1.12"));
  EXPECT_EQ(Merge("http"), "10.180.1.11:8080 10.180.1.12:9090");
  EXPECT_EQ(Merge("http", Protocol::kUdp), "");
  EXPECT_EQ(Merge("dns", Protocol::kUdp), "10.180.1.12:53");
  EXPECT_EQ(Merge("https"), "");
}

TEST_F(MergeTest, TheEmptyPortNameIsAName) {
  Add(Slice("s/s").Port("", 8080).Endpoint("10.180.1.11"));
  EXPECT_EQ(Merge(""), "10.180.1.11:8080");
  EXPECT_EQ(Merge("http"), "");
}

TEST_F(MergeTest, OnlySlicesOfTheFamilyCount) {
  Add(Slice("s/s").Named("v4").Port("http", 8080).Endpoint("10.180.1.11"));
  Add(Slice("s/s").Named("v6").Port("http", 8080).Endpoint("fd00:10:180:1::11"));
  EXPECT_EQ(Merge("http", Protocol::kTcp, Family::kIpv4), "10.180.1.11:8080");
  EXPECT_EQ(Merge("http", Protocol::kTcp, Family::kIpv6), "[fd00:10:180:1::11]:8080");
}

TEST_F(MergeTest, AnAddressThatIsNotOfItsSlicesFamilyIsSkipped) {
  Add(Slice("s/s").Port("http", 8080).Endpoint("10.180.1.11").Endpoint("fd00:10:180:1::11"));
  EXPECT_EQ(Merge("http", Protocol::kTcp, Family::kIpv4), "10.180.1.11:8080");
  EXPECT_EQ(Merge("http", Protocol::kTcp, Family::kIpv6), "");
}

TEST_F(MergeTest, LocalIsWhoseNodeNameIsThisNode) {
  Add(Slice("s/s")
          .Port("http", 8080)
          .Endpoint("10.180.1.11")
          .On("n1")
          .Endpoint("10.180.1.12")
          .Endpoint("192.168.99.11")
          .On("n1")
          .Endpoint("10.180.2.11")
          .On("n10"));
  EXPECT_EQ(Merge("http"), "10.180.1.11:8080* 10.180.1.12:8080 10.180.2.11:8080 192.168.99.11:8080*");
}

TEST_F(MergeTest, WithoutANameOfTheNodeNothingIsLocal) {
  Add(Slice("s/s").Port("http", 8080).Endpoint("10.180.1.11"));
  auto merged = MergeSlices(slices_, "http", Protocol::kTcp, Family::kIpv4, "");
  ASSERT_EQ(merged.size(), 1u);
  EXPECT_FALSE(merged[0].local);
}

TEST_F(MergeTest, TheSameAddressWithTwoPortNumbersIsTwoEndpoints) {
  Add(Slice("s/s").Named("a").Port("http", 8080).Endpoint("10.180.1.11"));
  Add(Slice("s/s").Named("b").Port("http", 8081).Endpoint("10.180.1.11"));
  EXPECT_EQ(Merge("http"), "10.180.1.11:8080 10.180.1.11:8081");
}

TEST_F(MergeTest, OfOneAddressAndPortTheEntryThatIsNotTerminatingWinsInWhicheverSliceItIs) {
  Slice old_pod = Slice("s/s").Port("http", 8080).Endpoint("10.180.1.11").On("n2").Ready(false).Terminating();
  Slice new_pod = Slice("s/s").Port("http", 8080).Endpoint("10.180.1.11").On("n1");
  for (bool old_first : {true, false}) {
    slices_.clear();
    Add(Slice(old_pod).Named(old_first ? "a" : "b"));
    Add(Slice(new_pod).Named(old_first ? "b" : "a"));
    auto merged = MergeSlices(slices_, "http", Protocol::kTcp, Family::kIpv4, "n1");
    ASSERT_EQ(merged.size(), 1u);
    EXPECT_FALSE(merged[0].endpoint->terminating) << "old first: " << old_first;
    EXPECT_TRUE(merged[0].local);
  }
}

TEST_F(MergeTest, BetweenTwoRunningEntriesTheFirstInSliceNameOrderWins) {
  Add(Slice("s/s").Named("b").Port("http", 8080).Endpoint("10.180.1.11").On("n2"));
  Add(Slice("s/s").Named("a").Port("http", 8080).Endpoint("10.180.1.11").On("n1"));
  EXPECT_EQ(Merge("http"), "10.180.1.11:8080*");
}

// --- which endpoints serve
// -------------------------------------------------------------------------------------

// An endpoint in one letter for each property, e.g. "1rL": address ...11, ready, local.
//   digit    last part of its address
//   r        ready and serving
//   t        serving while terminating
//   x        terminating, no longer serving
//   u        not ready, but serving, and not terminating
//   p        ready though it terminates (publishNotReadyAddresses)
//   L        on this node
//   a b      hinted for this zone, for another
//   n m      hinted for this node, for another
kube::Endpoint Endpoint(std::string_view letters) {
  kube::Endpoint e;
  e.ready = e.serving = e.terminating = false;
  for (char c : letters) {
    if (c >= '0' && c <= '9') e.address = Addr(std::string("10.180.1.1") + c);
    if (c == 'r' || c == 'p') e.ready = true;
    if (c == 'r' || c == 'p' || c == 't' || c == 'u') e.serving = true;
    if (c == 't' || c == 'x' || c == 'p') e.terminating = true;
    if (c == 'L') e.node_name = Symbol("n1");
    if (c == 'a') e.zone_hints.emplace_back("a");
    if (c == 'b') e.zone_hints.emplace_back("b");
    if (c == 'n') e.node_hints.emplace_back("n1");
    if (c == 'm') e.node_hints.emplace_back("n2");
  }
  return e;
}

struct Case {
  std::string name;
  std::vector<std::string_view> endpoints;
  std::string cluster, local, draining;  // last digits of the addresses
  bool has_any = true;
  std::string_view zone = "a";
  bool same_node_hints = true;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::string Digits(const std::vector<plan::Backend>& backends) {
  std::string digits;
  for (const plan::Backend& b : backends) digits += b.address.ToString().back();
  return digits;
}

plan::ServicePort Choose(const Case& c, bool needs_cluster, bool needs_local) {
  std::vector<kube::Endpoint> owned;
  for (std::string_view letters : c.endpoints) owned.push_back(Endpoint(letters));
  std::vector<ServiceEndpoint> endpoints;
  for (const kube::Endpoint& e : owned) endpoints.push_back({e.address, 8080, e.node_name == "n1", &e});
  plan::NodeFacts facts = Facts();
  facts.zone = c.zone;
  facts.same_node_hints = c.same_node_hints;
  plan::ServicePort port;
  port.needs_cluster = needs_cluster;
  port.needs_local = needs_local;
  plan::ChooseEndpoints(endpoints, facts, port);
  return port;
}

class ChooseTest : public testing::TestWithParam<Case> {};

TEST_P(ChooseTest, GivesTheTwoListsAndTheRest) {
  plan::ServicePort port = Choose(GetParam(), true, true);
  EXPECT_EQ(Digits(port.cluster), GetParam().cluster);
  EXPECT_EQ(Digits(port.local), GetParam().local);
  EXPECT_EQ(Digits(port.draining), GetParam().draining);
  EXPECT_EQ(port.has_any, GetParam().has_any);
}

INSTANTIATE_TEST_SUITE_P(
    Conditions, ChooseTest,
    testing::Values(Case{"NothingAtAll", {}, "", "", "", false},
                    Case{"ReadyOnesServe", {"1r", "2rL"}, "12", "2", ""},
                    Case{"ATerminatingOneDrainsWhileAReadyOneServes", {"1r", "2t"}, "1", "", "2"},
                    Case{"WithNothingReadyServingTerminatingOnesServe", {"1t", "2tL"}, "12", "2", ""},
                    Case{"TheLocalListFallsBackOnItsOwn", {"1r", "2tL"}, "1", "2", ""},
                    Case{"ALocalReadyOneKeepsTheLocalTerminatingOneOut", {"1rL", "2tL"}, "1", "1", "2"},
                    Case{"NothingLocalLeavesTheLocalListEmpty", {"1r"}, "1", "", ""},
                    Case{"ATerminatingOneElsewhereIsNoLocalOne", {"1t"}, "1", "", ""},
                    Case{"UnreadyServingOnesAreNeverUsed", {"1uL"}, "", "", "1", false},
                    Case{"UnreadyServingOnesAreNoFallback", {"1uL", "2t"}, "2", "", "1"},
                    Case{"TerminatingAndNotServingIsNeverUsed", {"1xL"}, "", "", "", false},
                    Case{"TerminatingAndNotServingIsNoFallback", {"1xL", "2tL"}, "2", "2", ""},
                    Case{"ReadyIsBelievedAlsoOfATerminatingOne", {"1pL", "2t"}, "1", "1", "2"}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    ZoneHints, ChooseTest,
    testing::Values(Case{"NarrowToThisZone", {"1ra", "2rb"}, "1", "", "2"},
                    Case{"OneReadyEndpointWithoutAHintSwitchesThemOff", {"1ra", "2rb", "3r"}, "123", "", ""},
                    Case{"NoneForThisZoneUsesAll", {"1rb", "2rb"}, "12", "", ""},
                    Case{"ANodeWithoutAZoneUsesAll", {"1ra", "2rb"}, "12", "", "", true, ""},
                    Case{"SeveralZonesOfOneEndpoint", {"1rab", "2rb"}, "1", "", "2"},
                    Case{"HintsOfUnreadyOnesDoNotMatter", {"1ra", "2rb", "3u", "4t"}, "1", "", "234"},
                    Case{"AnUnreadyOneForThisZoneDoesNotNarrow", {"1rb", "2ta"}, "1", "", "2"},
                    Case{"ThisZonesOnlyOneTerminatesSoOthersServe", {"1ta", "2rb", "3rb"}, "23", "", "1"},
                    Case{"TheFallbackIgnoresHints", {"1ta", "2tb"}, "12", "", ""},
                    Case{"TheLocalListIsNeverNarrowed", {"1ra", "2rbL"}, "1", "2", ""}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    NodeHints, ChooseTest,
    testing::Values(Case{"NarrowToThisNode", {"1rn", "2rm"}, "1", "", "2"},
                    Case{"GoBeforeZoneHints", {"1rna", "2rma"}, "1", "", "2"},
                    Case{"NoneForThisNodeFallsToZones", {"1rma", "2rmb"}, "1", "", "2"},
                    Case{"NeitherNodeNorZoneFitsUsesAll", {"1rmb", "2rmb"}, "12", "", ""},
                    Case{"OneWithoutANodeHintFallsToZones", {"1rna", "2rb"}, "1", "", "2"},
                    Case{"WorkWithoutAZone", {"1rn", "2rm"}, "1", "", "2", true, ""},
                    Case{"AreIgnoredWithTheGateOff", {"1rn", "2rm"}, "12", "", "", true, "a", false},
                    Case{
                        "LeaveZonesInForceWithTheGateOff", {"1rnb", "2rma"}, "2", "", "1", true, "a", false}),
    [](const auto& row) { return row.param.name; });

TEST(NeededLists, AListThatIsNotNeededIsEmptyAndItsEndpointsDrain) {
  Case c{"", {"1r", "2rL"}, "", "", ""};
  plan::ServicePort port = Choose(c, false, true);
  EXPECT_EQ(Digits(port.cluster), "");
  EXPECT_EQ(Digits(port.local), "2");
  EXPECT_EQ(Digits(port.draining), "1");
  EXPECT_TRUE(port.has_any) << "endpoints elsewhere count";

  port = Choose(c, true, false);
  EXPECT_EQ(Digits(port.cluster), "12");
  EXPECT_EQ(Digits(port.local), "");
  EXPECT_EQ(Digits(port.draining), "");
}

TEST(BackendFlags, TerminatingMarksTheFallbackOnly) {
  kube::Endpoint published = Endpoint("1p");
  kube::Endpoint leaving = Endpoint("2tL");
  std::vector<ServiceEndpoint> endpoints = {{published.address, 8080, false, &published},
                                            {leaving.address, 8080, true, &leaving}};
  plan::ServicePort port;
  port.needs_local = true;
  plan::ChooseEndpoints(endpoints, Facts(), port);
  ASSERT_EQ(port.cluster.size(), 1u);
  EXPECT_FALSE(port.cluster[0].terminating) << "ready is believed";
  ASSERT_EQ(port.local.size(), 1u);
  EXPECT_TRUE(port.local[0].terminating);
  EXPECT_TRUE(port.local[0].local);
}

}  // namespace
}  // namespace fairlead::test
