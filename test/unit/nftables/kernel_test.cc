// SPDX-License-Identifier: Apache-2.0
// The writer over this kernel's nf_tables, in a network namespace of its own.
#include "agent/datapath/nftables/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/base/exec.h"
#include "agent/datapath/nftables/nftables.h"
#include "agent/datapath/nftables/script.h"
#include "agent/datapath/nftables/writer.h"
#include "test/support/netns.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::nftables {
namespace {

using plan::Masquerade::kOutside;
using test::PortOf;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Nft(std::vector<std::string> words, std::string_view input = {}) {
  words.insert(words.begin(), "nft");
  auto ran = ExecuteOrFail({.argv = std::move(words), .input = input});
  EXPECT_TRUE(ran) << ran.error().message;
  return ran ? *ran : std::string();
}

// Empty where there is no table.
std::string Listed() {
  auto ran = Execute({.argv = {"nft", "list", "table", "inet", "fairlead"}, .input = {}});
  EXPECT_TRUE(ran) << ran.error().message;
  return ran && ran->status == 0 ? ran->output : std::string();
}

struct NftablesKernelTest : testing::Test {
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "skipped: needs root for network namespaces";
    netns.emplace(test::Namespace::Create("fl-nft-" + std::to_string(::getpid())));
    inside.emplace(*netns);
    Start();
    node.nodeport_addresses = {test::Addr("192.168.99.11")};
    node.pod_cidrs = {test::Range("10.180.0.0/16")};
    node.service_cidrs = {test::Range("172.30.0.0/16")};
  }
  void TearDown() override {
    writer.reset();
    kernel.reset();
    inside.reset();
    netns.reset();
  }

  // A new run of the agent.
  void Start() {
    writer.reset();
    auto opened = OpenKernel();
    ASSERT_TRUE(opened) << opened.error().message;
    kernel = std::move(*opened);
    netfilter::NetfilterOptions options;
    options.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
    writer.emplace(*kernel, options);
  }
  void Commit(std::vector<plan::Change> changes) {
    ASSERT_TRUE(writer->ApplyNode(node));
    Apply(std::move(changes));
    auto committed = writer->Commit();
    ASSERT_TRUE(committed) << committed.error().message;
  }
  void Apply(std::vector<plan::Change> changes) {
    for (const auto& failure : writer->Apply(changes)) ADD_FAILURE() << failure.error.message;
  }
  void CheckUp() { writer->CheckUp(Writer::Clock::now() + std::chrono::hours(++hours)); }

  std::optional<test::Namespace> netns;
  std::optional<test::NetnsScope> inside;
  std::unique_ptr<Kernel> kernel;
  std::optional<Writer> writer;
  plan::NodePlan node;
  int hours = 0;
};

const PortOf kCart = PortOf("shop/cart")
                         .ClusterIp("172.30.0.10", 80, kOutside)
                         .NodePort(30001)
                         .On({"10.180.1.11:8080 local", "10.180.2.11:8080"});

TEST_F(NftablesKernelTest, AnElementReadsBackAsItWasWrittenAndNftPrintsItSo) {
  const PortOf all = PortOf("shop/web")
                         .ExternalLocal()
                         .Affinity()
                         .ClusterIp("fd00:172:30::10", 80, kOutside)
                         .LoadBalancer("fd00:198:51:100::4", 80)
                         .NodePort(30002)
                         .Ranges({"fd00:203:0:113::/64", "fd00:203:0:113:8000::/65"})
                         .On({"[fd00:10:180:1::11]:8080 local", "[fd00:10:180:2::11]:8080"})
                         .LocalOn({"[fd00:10:180:1::11]:8080"});
  Commit({kCart, all, PortOf("shop/empty").ClusterIp("172.30.0.11", 80, kOutside)});
  Ledger ledger;
  ledger.Take(
      std::vector<plan::Change>{kCart, all, PortOf("shop/empty").ClusterIp("172.30.0.11", 80, kOutside)});
  std::set<Element> wanted, found;
  ledger.ForEach([&](size_t, Element element) { wanted.insert(std::move(element)); });
  for (size_t set = 0; set < kSets; ++set) {
    for (Family family : {Family::kIpv4, Family::kIpv6}) {
      ASSERT_TRUE(kernel->ForEach(static_cast<Set>(set), family,
                                  [&](Element element) { found.insert(std::move(element)); }));
    }
  }
  EXPECT_EQ(wanted, found);
  EXPECT_THAT(Listed(),
              AllOf(HasSubstr("172.30.0.10 . tcp . 80 comment \"shop/cart:http\" : goto outside4-2"),
                    HasSubstr("fd00:172:30::10 . tcp . 80 . 1 : fd00:10:180:2::11 . 8080"),
                    HasSubstr("tcp . 30001 . 0 : 10.180.1.11 . 8080"), HasSubstr("goto rejects")));
}

TEST_F(NftablesKernelTest, ATableThatWasFlushedIsMadeAnew) {
  Commit({kCart});
  const std::string whole = Listed();
  Nft({"flush", "ruleset"});
  CheckUp();
  EXPECT_EQ(Listed(), whole);
}

PortOf Sized(std::string_view name, std::string_view address, size_t backends) {
  std::vector<plan::Backend> list;
  for (size_t i = 0; i < backends; ++i)
    list.push_back(test::BackendOf(fmt::format("10.180.2.{}:8080", 11 + i)));
  return PortOf(name).ClusterIp(address, 80, kOutside).On(list);
}

TEST_F(NftablesKernelTest, ANumberOfBackendsNobodyHadGetsItsChainsBeforeItIsNeeded) {
  Commit({Sized("shop/cart", "172.30.0.10", 2)});
  for (size_t backends : {3, 40, 0, 50})
    Apply({Sized("shop/cart", "172.30.0.10", backends).NodePort(30001).Elsewhere()});
  EXPECT_THAT(Listed(), HasSubstr("goto outside4-50"));
}

TEST_F(NftablesKernelTest, AServiceGetsSessionAffinityAndLosesIt) {
  for (bool v6 : {false, true}) {
    PortOf port =
        v6 ? PortOf("shop/cart").ClusterIp("fd00:172:30::10", 80, kOutside).On({"[fd00::1]:80"}) : kCart;
    if (!writer->committed()) Commit({port});
    Apply({PortOf(port).Affinity(60)});
    EXPECT_THAT(Listed(), HasSubstr(v6 ? "update @affinity6/shop/cart/http/tcp"
                                       : "update @affinity4/shop/cart/http/tcp"));
    Apply({port});
    EXPECT_THAT(Listed(), Not(HasSubstr("affinity6/shop")));
  }
  EXPECT_THAT(Listed(), Not(HasSubstr("affinity4/shop")));
}

TEST_F(NftablesKernelTest, TheNextAgentTakesTheTableOverAndWritesOnlyDifferences) {
  const PortOf sticky =
      PortOf("shop/web").Affinity().ClusterIp("172.30.0.11", 80, kOutside).On({"10.180.1.12:8080"});
  Commit({kCart, sticky});
  const std::string whole = Listed();
  Start();
  Commit({kCart, sticky});
  EXPECT_EQ(Listed(), whole);
  ASSERT_TRUE(writer->Prune());
  EXPECT_EQ(Listed(), whole);
}

TEST_F(NftablesKernelTest, WhatAnEarlierAgentLeftStaysUntilPrune) {
  Commit({kCart, PortOf("shop/old")
                     .ClusterIp("172.30.0.11", 80, kOutside)
                     .On({"10.180.1.12:8080", "10.180.1.13:8080", "10.180.1.14:8080"})});
  Start();
  Commit({kCart});
  EXPECT_THAT(Listed(), HasSubstr("shop/old"));
  ASSERT_TRUE(writer->Prune());
  EXPECT_THAT(Listed(),
              AllOf(Not(HasSubstr("shop/old")), Not(HasSubstr("172.30.0.11")), Not(HasSubstr("pick4-20"))));
}

TEST_F(NftablesKernelTest, ATableOfAnotherReleaseIsReplacedAtOnce) {
  const PortOf sticky =
      PortOf("shop/web").Affinity().ClusterIp("fd00:172:30::11", 80, kOutside).On({"[fd00::1]:8080"});
  Commit({kCart, sticky});
  const std::string whole = Listed();
  Nft({"delete", "chain", "inet", "fairlead", SchemaChain()});
  Nft({"add", "set", "inet", "fairlead", "old", "{ type ipv4_addr; }"});
  Start();
  Commit({kCart, sticky});
  EXPECT_EQ(Listed(), whole);
}

// Each is something other programs, or people at three in the morning, do to a table.
TEST_F(NftablesKernelTest, WhateverIsDoneToTheTableIsPutRight) {
  const PortOf sticky =
      PortOf("shop/web").Affinity().ClusterIp("172.30.0.11", 80, kOutside).On({"10.180.1.12:8080"});
  Commit({kCart, sticky});
  ASSERT_TRUE(writer->Prune());
  CheckUp();
  const std::string whole = Listed();
  for (const char* harm : {
           "delete table inet fairlead",
           "flush ruleset",
           "flush chain inet fairlead services",
           "flush chain inet fairlead pick4-2",
           "flush map inet fairlead services4",
           "flush set inet fairlead pods4",
           "delete element inet fairlead backends4 { 172.30.0.10 . tcp . 80 . 0 }",
           "add element inet fairlead cluster-ips4 { 192.0.2.1 }",
           "insert rule inet fairlead services drop",
           "add chain inet fairlead stranger",
           "flush chain inet fairlead postrouting",
           "flush chain inet fairlead sticky4/shop/web/http/tcp",
       }) {
    Nft({"-f", "-"}, harm);
    EXPECT_NE(Listed(), whole) << harm;
    CheckUp();
    EXPECT_EQ(Listed(), whole) << harm;
  }
}

TEST_F(NftablesKernelTest, AChangeIntoATableThatWasHarmedSucceedsAtOnce) {
  Commit({kCart});
  Nft({"flush", "map", "inet", "fairlead", "services4"});
  Apply({Sized("shop/cart", "172.30.0.10", 1)});
  EXPECT_THAT(Listed(), HasSubstr("goto outside4-1"));
  Nft({"flush", "ruleset"});
  Apply({Sized("shop/cart", "172.30.0.10", 7)});
  EXPECT_THAT(Listed(), HasSubstr("goto outside4-7"));
}

TEST_F(NftablesKernelTest, ThousandsOfClientsAreForgottenInAFewTransactionsAndGoneOnesDoNotMatter) {
  Commit({PortOf(kCart).Affinity(60)});
  const std::string map = "affinity4/shop/cart/http/tcp";
  std::string elements;
  std::vector<Bytes> clients;
  for (int i = 0; i < 3000; ++i) {
    const std::string client = fmt::format("10.190.{}.{}", i / 250, 1 + i % 250);
    clients.push_back(Bytes().Add(test::Addr(client)));
    if (i % 100 != 0) elements += client + " : 10.180.2.11 . 8080, ";
  }
  Nft({"-f", "-"}, fmt::format("add element inet fairlead {} {{ {} }}", map, elements));
  ASSERT_EQ(kernel->Clients(map)->size(), 2970U);
  auto forgot = kernel->Forget(map, clients);
  ASSERT_TRUE(forgot) << forgot.error().message;
  EXPECT_EQ(*forgot, 3U);
  EXPECT_TRUE(kernel->Clients(map)->empty());
}

TEST_F(NftablesKernelTest, AServiceOfTheLongestNameHasAffinity) {
  Commit({PortOf("shop/" + std::string(253, 'a'))
              .Affinity(60)
              .ClusterIp("172.30.0.10", 80, kOutside)
              .On({"10.0.0.1:1"})});
  EXPECT_THAT(Listed(), HasSubstr("update @affinity4/shop/aaa"));
}

TEST_F(NftablesKernelTest, TheProbeSaysWhatItFoundAndLeavesNothing) {
  auto found = Probe();
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(*found, HasSubstr("a table of our kind is accepted"));
  EXPECT_EQ(Nft({"list", "ruleset"}), "");
}

TEST_F(NftablesKernelTest, CleanUpRemovesOurTableAndNoOther) {
  Nft({"add", "table", "inet", "fairleader"});
  auto cleaned = CleanUp();
  ASSERT_TRUE(cleaned);
  EXPECT_FALSE(*cleaned);
  Commit({kCart});
  cleaned = CleanUp();
  ASSERT_TRUE(cleaned);
  EXPECT_TRUE(*cleaned);
  EXPECT_THAT(Nft({"list", "tables"}), testing::StrEq("table inet fairleader\n"));
}

// It may be missing, or die of what a newer one has made.
TEST_F(NftablesKernelTest, CleanUpNeedsNoNft) {
  Commit({kCart});
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  auto cleaned = CleanUp();
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(cleaned) << cleaned.error().message;
  EXPECT_TRUE(*cleaned);
  EXPECT_EQ(Nft({"list", "tables"}), "");
}

}  // namespace
}  // namespace fairlead::nftables
