// SPDX-License-Identifier: Apache-2.0
// The writer over nf_tables in memory: what is written, how much of it, and what becomes of faults.
#include "agent/datapath/nftables/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/datapath/nftables/script.h"
#include "test/support/nftables/fake_kernel.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::nftables {
namespace {

using plan::Masquerade::kOutside;
using test::PortOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct NftablesWriterTest : testing::Test {
  void Commit(std::vector<plan::Change> changes) {
    ASSERT_THAT(Apply(std::move(changes)), IsEmpty());
    ASSERT_TRUE(writer.ApplyNode(node));
    ASSERT_TRUE(writer.Commit());
  }
  // The failures' messages.
  std::vector<std::string> Apply(std::vector<plan::Change> changes) {
    std::vector<std::string> messages;
    for (const auto& failure : writer.Apply(changes)) messages.push_back(failure.error.message);
    return messages;
  }
  // The last transaction, a line an element.
  std::vector<std::string> Written() {
    std::vector<std::string> lines;
    for (const auto& write : kernel.last_writes) {
      lines.push_back((write.add ? "+" : "-") + SetName(write.element.set, write.element.family) + " " +
                      ToText(write.element));
    }
    return lines;
  }
  static netfilter::NetfilterOptions Options() {
    netfilter::NetfilterOptions options;
    options.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
    return options;
  }

  test::FakeNftables kernel;
  Writer writer{kernel, Options()};
  plan::NodePlan node;
};

PortOf Cart() {
  return PortOf("shop/cart")
      .ClusterIp("172.30.0.10", 80, kOutside)
      .On({"10.180.1.11:8080 local", "10.180.2.11:8080"});
}
PortOf Nth(int n) {
  return PortOf(fmt::format("shop/s{}", n))
      .ClusterIp(fmt::format("172.30.1.{}", n), 80, kOutside)
      .On({"10.180.2.12:80"});
}

TEST_F(NftablesWriterTest, NothingIsWrittenBeforeCommit) {
  Apply({Cart()});
  ASSERT_TRUE(writer.ApplyNode(node));
  EXPECT_THAT(kernel.scripts, IsEmpty());
  EXPECT_EQ(kernel.commits, 0U);
}

TEST_F(NftablesWriterTest, HooksComeWhenAllElseStands) {
  Commit({Cart()});
  EXPECT_THAT(kernel.scripts.front(), Not(HasSubstr("hook prerouting")));
  EXPECT_THAT(kernel.scripts.back(), HasSubstr("hook prerouting"));
  EXPECT_TRUE(kernel.chains.contains(SchemaChain()));
}

TEST_F(NftablesWriterTest, AServiceIsElementsOnly) {
  Commit({Cart(), Cart().NodePort(30001)});
  EXPECT_EQ(kernel.ElementsText(),
            "backends4: 172.30.0.10 . tcp . 80 . 0 : 10.180.1.11 . 8080\n"
            "backends4: 172.30.0.10 . tcp . 80 . 1 : 10.180.2.11 . 8080\n"
            "cluster-ips4: 172.30.0.10\n"
            "hairpin4: 10.180.1.11 . 10.180.1.11\n"
            "nodeport-backends4: tcp . 30001 . 0 : 10.180.1.11 . 8080\n"
            "nodeport-backends4: tcp . 30001 . 1 : 10.180.2.11 . 8080\n"
            "nodeports4: tcp . 30001 : goto node-masquerade4-2\n"
            "services4: 172.30.0.10 . tcp . 80 : goto outside4-2\n");
  const std::string before = kernel.ElementsText();
  const size_t chains = kernel.chains.size();
  Apply({Nth(1).On({"10.180.2.1:80", "10.180.2.2:80"})});
  EXPECT_EQ(kernel.chains.size(), chains) << "services with as many backends share their chains";
}

TEST_F(NftablesWriterTest, AnEndpointThatIsReplacedIsOneElement) {
  Commit({Cart()});
  EXPECT_THAT(Apply({Cart().On({"10.180.1.11:8080 local", "10.180.2.99:8080"})}), IsEmpty());
  EXPECT_THAT(Written(), ElementsAre("-backends4 172.30.0.10 . tcp . 80 . 1 : 10.180.2.11 . 8080",
                                     "+backends4 172.30.0.10 . tcp . 80 . 1 : 10.180.2.99 . 8080"));
}

TEST_F(NftablesWriterTest, AnEndpointLessOfAThousandIsAHandfulOfElements) {
  std::vector<plan::Backend> many;
  for (int i = 0; i < 1000; ++i)
    many.push_back(test::BackendOf(fmt::format("10.190.{}.{}:80", i / 250, 1 + i % 250)));
  Commit({Cart().On(many)});
  many.erase(many.begin() + 500);
  Apply({Cart().On(many)});
  EXPECT_LE(kernel.last_writes.size(), 5U);
}

TEST_F(NftablesWriterTest, AnAddressThatMovesBetweenServicesIsNeverWithoutAnOwner) {
  Commit({Nth(1)});
  const PortOf heir = PortOf("shop/heir").ClusterIp("172.30.1.1", 80, kOutside).On({"10.180.2.99:80"});
  const size_t commits = kernel.commits;
  EXPECT_THAT(Apply({Gone(Nth(1)), heir}), IsEmpty());
  EXPECT_EQ(kernel.commits, commits + 1);
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("172.30.1.1 . tcp . 80 . 0 : 10.180.2.99 . 80"));
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("cluster-ips4: 172.30.1.1"));
}

TEST_F(NftablesWriterTest, WhatSeveralServicesNeedStaysUntilTheLastGoes) {
  const PortOf other =
      PortOf("shop/cart:admin").ClusterIp("172.30.0.10", 81, kOutside).On({"10.180.1.11:81 local"});
  Commit({Cart(), other});
  Apply({Gone(Cart())});
  EXPECT_THAT(kernel.ElementsText(),
              HasSubstr("cluster-ips4: 172.30.0.10\nhairpin4: 10.180.1.11 . 10.180.1.11"));
  Apply({Gone(other)});
  EXPECT_EQ(kernel.ElementsText(), "");
}

TEST_F(NftablesWriterTest, AServiceTheKernelRefusesAtCommitIsNamedUntilAFullPassWritesIt) {
  kernel.refuse = [](const Element& element) { return element.comment == "shop/s2:http" ? EINVAL : 0; };
  Commit({Nth(1), Nth(2), Nth(3)});
  ASSERT_EQ(writer.Refused().size(), 1U);
  EXPECT_EQ(writer.Refused()[0].key, plan::Change(Nth(2)).key);
  kernel.refuse = nullptr;
  writer.CheckUp(Writer::Clock::now());
  EXPECT_THAT(writer.Refused(), IsEmpty());
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("services4: 172.30.1.2 "));
}

TEST_F(NftablesWriterTest, AServiceTheKernelRefusedAtCommitMayGoOrChange) {
  kernel.refuse = [](const Element& element) {
    return element.comment == "shop/s1:http" || element.comment == "shop/s2:http" ? EINVAL : 0;
  };
  Commit({Nth(1), Nth(2), Nth(3)});
  plan::Change gone = Nth(1);
  gone.now = nullptr;
  EXPECT_THAT(Apply({gone}), IsEmpty());
  kernel.refuse = nullptr;
  EXPECT_THAT(Apply({Nth(2).On({"10.180.2.13:80"})}), IsEmpty());
  EXPECT_THAT(writer.Refused(), IsEmpty());
  EXPECT_THAT(kernel.ElementsText(), Not(HasSubstr("172.30.1.1 ")));
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("services4: 172.30.1.2 "));
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("10.180.2.13 . 80"));
}

TEST_F(NftablesWriterTest, OneServiceTheKernelRefusesDoesNotStopTheOthers) {
  Commit({Cart()});
  kernel.refuse = [](const Element& element) { return element.comment == "shop/s2:http" ? EINVAL : 0; };
  EXPECT_THAT(Apply({Nth(1), Nth(2), Nth(3)}), ElementsAre(HasSubstr("shop/s2:http/TCP IPv4: ")));
  EXPECT_THAT(kernel.ElementsText(), testing::AllOf(HasSubstr("172.30.1.1 "), Not(HasSubstr("172.30.1.2 ")),
                                                    HasSubstr("172.30.1.3 ")));
  kernel.refuse = nullptr;
  EXPECT_THAT(Apply({Nth(2)}), IsEmpty());
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("172.30.1.2 "));
}

TEST_F(NftablesWriterTest, ARefusalThatNamesNobodyIsFoundByHalving) {
  Commit({Cart()});
  kernel.refuse_batch = [](std::span<const Write> writes) {
    for (const Write& write : writes) {
      if (write.element.comment == "shop/s5:http") return EINVAL;
    }
    return 0;
  };
  std::vector<plan::Change> changes;
  for (int n = 1; n <= 8; ++n) changes.push_back(Nth(n));
  EXPECT_THAT(Apply(changes), ElementsAre(HasSubstr("shop/s5:http/TCP IPv4: ")));
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("172.30.1.8 "));
}

TEST_F(NftablesWriterTest, WithoutNftOnlyWhatNeedsANewChainWaits) {
  Commit({Cart(), Nth(1)});
  kernel.refuse_script = [](std::string_view) { return ENOENT; };
  EXPECT_THAT(Apply({Nth(1).On({"10.180.2.77:80"}), PortOf("shop/s2").NodePort(30002).On({"10.0.0.1:1"})}),
              ElementsAre(HasSubstr("shop/s2:http/TCP IPv4: ")));
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("10.180.2.77 . 80"));
}

TEST_F(NftablesWriterTest, ACommitThatFailedIsMadeAgain) {
  Apply({Cart()});
  kernel.refuse_script = [](std::string_view script) {
    return script.find("hook") != script.npos ? EBUSY : 0;
  };
  EXPECT_FALSE(writer.Commit());
  kernel.refuse_script = nullptr;
  EXPECT_TRUE(writer.Commit());
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("services4: 172.30.0.10"));
}

TEST_F(NftablesWriterTest, BesideEbpfOnlySctpIsServed) {
  netfilter::NetfilterOptions options = Options();
  options.serves = netfilter::Serves::kOnlySctp;
  Writer beside(kernel, options);
  const PortOf sctp =
      PortOf("shop/sctp").Sctp().ClusterIp("172.30.0.11", 80, kOutside).On({"10.180.2.12:80"});
  EXPECT_THAT(beside.Apply(std::vector<plan::Change>{Cart(), sctp}), IsEmpty());
  ASSERT_TRUE(beside.Commit());
  EXPECT_THAT(kernel.ElementsText(),
              testing::AllOf(HasSubstr("172.30.0.11 . sctp"), Not(HasSubstr("172.30.0.10"))));
  for (const char* chain : {"services", "after-nat", "postrouting"})
    EXPECT_EQ(kernel.chains.at(chain).rules.front(), "meta l4proto != sctp return") << chain;
}

TEST_F(NftablesWriterTest, NothingIsReadWhileNobodyElseWrites) {
  Commit({Cart()});
  ASSERT_TRUE(writer.Prune());
  auto now = Writer::Clock::now();
  writer.CheckUp(now += std::chrono::hours(1));
  const size_t scripts = kernel.scripts.size(), commits = kernel.commits;
  writer.CheckUp(now += std::chrono::hours(1));
  EXPECT_EQ(kernel.scripts.size(), scripts);
  EXPECT_EQ(kernel.commits, commits);
}

PortOf Sized(size_t count) {
  std::vector<plan::Backend> list;
  for (size_t i = 0; i < count; ++i) list.push_back(test::BackendOf(fmt::format("10.180.2.{}:80", 1 + i)));
  return Cart().On(list);
}

TEST_F(NftablesWriterTest, ChainsNobodyNeedsGoWithAFullPass) {
  Commit({Sized(100)});
  ASSERT_TRUE(writer.Prune());
  Apply({Sized(99)});
  EXPECT_TRUE(kernel.chains.contains("pick4-100"));
  writer.CheckUp(Writer::Clock::now() + std::chrono::hours(1));
  EXPECT_FALSE(kernel.chains.contains("pick4-100"));
  EXPECT_TRUE(kernel.chains.contains("pick4-99"));
}

TEST_F(NftablesWriterTest, AServiceOfTheUsualSizeGrowsWithoutAScript) {
  Commit({Sized(10)});
  const size_t scripts = kernel.scripts.size();
  for (size_t count : {11, 12, 1, 16}) EXPECT_THAT(Apply({Sized(count)}), IsEmpty());
  EXPECT_EQ(kernel.scripts.size(), scripts);
}

// event_fd is readable until that is heard.
TEST_F(NftablesWriterTest, WordsOfOthersTransactionsAreHeardBeforeCommitToo) {
  kernel.touched = true;
  writer.CheckUp(Writer::Clock::now());
  EXPECT_FALSE(kernel.touched);
  EXPECT_THAT(kernel.scripts, IsEmpty());
}

TEST_F(NftablesWriterTest, ATableThatIsNotWholeGoesWithoutNft) {
  kernel.table = true;
  kernel.chains["strange"] = {};
  kernel.refuse_script = [](std::string_view script) { return script.contains("delete table") ? EINVAL : 0; };
  Commit({Cart()});
  EXPECT_FALSE(kernel.chains.contains("strange"));
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("services4: 172.30.0.10"));
}

TEST_F(NftablesWriterTest, WithExternalPolicyLocalAnyBackendMayReachItself) {
  Commit({PortOf("shop/cart")
              .ExternalLocal()
              .NodePort(30001)
              .On({"10.180.1.11:8080 local", "10.180.2.11:8080"})
              .LocalOn({"10.180.1.11:8080"})});
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("hairpin4: 10.180.1.11 . 10.180.1.11\n"
                                               "hairpin4: 10.180.2.11 . 10.180.2.11\n"));
}

TEST_F(NftablesWriterTest, TheNumberOfBackendsFollowsTheirServices) {
  Commit({Cart(), Nth(1)});
  EXPECT_EQ(writer.backends(), 3U);
  Apply({Cart().On({"10.180.2.12:80"}), Nth(2)});
  EXPECT_EQ(writer.backends(), 3U);
  Apply({Gone(Cart()), Gone(Nth(7))});
  EXPECT_EQ(writer.backends(), 2U);
}

// Iptables-nft of a CNI plugin writes all the time, and not to our table.
TEST_F(NftablesWriterTest, TransactionsInOtherTablesSeldomMakeUsReadOurs) {
  Commit({Cart()});
  ASSERT_TRUE(writer.Prune());
  auto now = Writer::Clock::now();
  writer.CheckUp(now += std::chrono::hours(1));
  const size_t dumps = kernel.dumps;
  for (int pass = 0; pass < 9; ++pass) {
    ++kernel.generation;
    writer.CheckUp(now += std::chrono::hours(1));
  }
  EXPECT_EQ(kernel.dumps, dumps);
  ++kernel.generation;
  writer.CheckUp(now += std::chrono::hours(1));
  EXPECT_GT(kernel.dumps, dumps);
}

// --- after a restart of the agent

struct NftablesRestartTest : NftablesWriterTest {
  // What the last agent had written; then the next one begins with `changes`.
  void Restart(std::vector<plan::Change> before, std::vector<plan::Change> changes) {
    Commit(std::move(before));
    ASSERT_TRUE(next.Apply(changes).empty());
    ASSERT_TRUE(next.Commit());
  }
  Writer next{kernel, Options()};
};

TEST_F(NftablesRestartTest, AServiceScaledToZeroMeanwhileIsRefusedAtOnce) {
  Restart({Cart()}, {PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside)});
  EXPECT_EQ(kernel.ElementsText(),
            "cluster-ips4: 172.30.0.10\n"
            "hairpin4: 10.180.1.11 . 10.180.1.11\n"
            "no-endpoints4: 172.30.0.10 . tcp . 80 : goto rejects\n");
}

TEST_F(NftablesRestartTest, SourceRangesThatAreGoneGuardNoMore) {
  const PortOf open = PortOf("shop/web").LoadBalancer("198.51.100.4", 80).On({"10.180.2.11:80"});
  Restart({PortOf(open).Ranges({"203.0.113.0/24"})}, {open});
  EXPECT_THAT(kernel.ElementsText(), Not(HasSubstr("guarded4")));
  EXPECT_THAT(kernel.ElementsText(), Not(HasSubstr("source-ranges4")));
}

TEST_F(NftablesRestartTest, AServiceNotYetKnownIsServedAsItWasUntilPrune) {
  Restart({Cart(), Nth(1)}, {Nth(1)});
  EXPECT_THAT(kernel.ElementsText(), HasSubstr("services4: 172.30.0.10"));
  ASSERT_TRUE(next.Prune());
  EXPECT_THAT(kernel.ElementsText(), Not(HasSubstr("172.30.0.10")));
}

TEST_F(NftablesRestartTest, AServiceThatComesLateReplacesAllItHad) {
  Restart({Cart(), Nth(1)}, {Nth(1)});
  const PortOf none = PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside);
  EXPECT_THAT(next.Apply(std::vector<plan::Change>{none}), IsEmpty());
  EXPECT_THAT(kernel.ElementsText(), testing::AllOf(HasSubstr("no-endpoints4: 172.30.0.10"),
                                                    Not(HasSubstr("services4: 172.30.0.10")),
                                                    Not(HasSubstr("backends4: 172.30.0.10"))));
}

TEST_F(NftablesRestartTest, AServiceThatComesLateAndUnchangedIsNotWritten) {
  Restart({Cart(), Nth(1)}, {Nth(1)});
  const size_t commits = kernel.commits;
  const std::string before = kernel.ElementsText();
  EXPECT_THAT(next.Apply(std::vector<plan::Change>{Cart()}), IsEmpty());
  EXPECT_EQ(kernel.ElementsText(), before);
  ASSERT_TRUE(next.Prune());
  EXPECT_EQ(kernel.ElementsText(), before);
  EXPECT_EQ(kernel.commits, commits);
}

// --- session affinity

constexpr const char* kCartMap = "affinity4/shop/cart/http/tcp";

Remembered Client(std::string_view client, std::string_view backend) {
  const plan::Backend to = test::BackendOf(backend);
  return {Bytes().Add(test::Addr(client)), Bytes().Add(to.address).AddPort(to.port)};
}

TEST_F(NftablesWriterTest, ClientsOfABackendThatLeavesAreForgotten) {
  Commit({Cart().Affinity()});
  kernel.clients[kCartMap] = {Client("10.180.9.1", "10.180.1.11:8080"),
                              Client("10.180.9.2", "10.180.2.11:8080")};
  Apply({Cart().Affinity().On({"10.180.1.11:8080 local"})});
  ASSERT_EQ(kernel.clients[kCartMap].size(), 1U);
  EXPECT_EQ(kernel.clients[kCartMap][0].client, Client("10.180.9.1", "10.180.1.11:8080").client);
}

TEST_F(NftablesWriterTest, ClientsThatCouldNotBeForgottenAreForgottenLater) {
  Commit({Cart().Affinity()});
  ASSERT_TRUE(writer.Prune());
  auto now = Writer::Clock::now();
  writer.CheckUp(now += std::chrono::hours(1));
  kernel.clients[kCartMap] = {Client("10.180.9.2", "10.180.2.11:8080")};
  kernel.refuse_clients = EBUSY;
  Apply({Cart().Affinity().On({"10.180.1.11:8080 local"})});
  const auto again = writer.CheckUp(now += std::chrono::seconds(1));
  EXPECT_LT(again, now + std::chrono::seconds(30)) << "sooner than the next full pass";
  kernel.refuse_clients = 0;
  writer.CheckUp(again);
  EXPECT_THAT(kernel.clients[kCartMap], IsEmpty());
}

TEST(NftablesNames, OnesLongerThanTheKernelTakesEndInAHashAndStayApart) {
  const auto named = [](char last) {
    const std::string name = std::string(252, 'a') + last;
    return Sticky{{{"shop", name}, "http", plan::Protocol::kTcp, Family::kIpv4}, 60, true, true, true};
  };
  std::set<std::string> names;
  for (char last : {'x', 'y'}) {
    for (const std::string& name : named(last).Chains()) names.insert(name);
    for (const std::string& name : named(last).Maps()) names.insert(name);
  }
  EXPECT_EQ(names.size(), 14U);
  for (const std::string& name : names) EXPECT_LE(name.size(), 255U);
}

}  // namespace
}  // namespace fairlead::nftables
