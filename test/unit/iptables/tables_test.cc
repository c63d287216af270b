// SPDX-License-Identifier: Apache-2.0
// One family's rules over iptables in memory: what is written, what faults do, what is put right.
#include "agent/datapath/iptables/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/datapath/iptables/localnet.h"
#include "test/support/iptables/fake_iptables.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::iptables {
namespace {

using plan::Masquerade::kOutside;
using test::FakeIptables;
using test::PortOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

PortOf Numbered(int i) {
  return PortOf(fmt::format("shop/s{}", i))
      .ClusterIp(fmt::format("172.30.{}.{}", i / 200, i % 200 + 1), 80, kOutside)
      .On({fmt::format("10.180.2.11:{}", 8000 + i)});
}

class StubFingerprint : public Fingerprint {
 public:
  explicit StubFingerprint(const FakeIptables& kernel) : kernel_(kernel) {}
  std::string Take() override { return kernel_.Text(); }
  bool exact() const override { return true; }

 private:
  const FakeIptables& kernel_;
};

class TablesTest : public testing::Test {
 protected:
  TablesTest() { options_.local_traffic.by = netfilter::LocalTraffic::By::kPrefix; }

  std::unique_ptr<Tables> Open(bool watched = true) {
    auto watch = watched ? std::make_shared<Watch>(std::make_unique<StubFingerprint>(kernel_)) : nullptr;
    auto tables =
        std::make_unique<Tables>(kernel_.AsRun(), FakeIptables::Backend(), Family::kIpv4, options_, watch);
    plan::NodePlan node;
    node.nodeport_addresses = {test::Addr("192.168.99.11")};
    node.pod_cidrs = {test::Range("10.180.0.0/16")};
    EXPECT_TRUE(tables->ApplyNode(node));
    return tables;
  }
  std::unique_ptr<Tables> Serving(int services) {
    auto tables = Open();
    EXPECT_THAT(Apply(*tables, Changes(services)), IsEmpty());
    EXPECT_TRUE(tables->Commit());
    EXPECT_TRUE(tables->Prune());
    return tables;
  }
  static std::vector<plan::Change> Changes(int services) {
    std::vector<plan::Change> changes;
    for (int i = 0; i < services; ++i) changes.push_back(Numbered(i));
    return changes;
  }
  // Names of the service ports that failed.
  static std::vector<std::string> Apply(Tables& tables, const std::vector<plan::Change>& changes) {
    std::vector<std::string> failed;
    for (const auto& failure : tables.Apply(changes)) failed.push_back(failure.change.key.service.name);
    return failed;
  }
  static int Chains(const std::string& restore) {
    int chains = 0;
    for (size_t at = 0; (at = restore.find("\n:", at)) != std::string::npos; ++at) ++chains;
    return chains;
  }
  bool Serves(int i) { return kernel_.Text().contains(fmt::format("10.180.2.11:{}\n", 8000 + i)); }

  netfilter::NetfilterOptions options_;
  FakeIptables kernel_;
  const Tables::Clock::time_point later_ = Tables::Clock::now() + std::chrono::hours(1);
};

// --- what is written, and when

TEST_F(TablesTest, NothingIsWrittenBeforeCommit) {
  auto tables = Open();
  Apply(*tables, Changes(3));
  EXPECT_EQ(kernel_.restores, 0);
}

TEST_F(TablesTest, CommitWritesEverythingAtOnce) {
  auto tables = Serving(3);
  EXPECT_EQ(kernel_.restores, 1);
  EXPECT_TRUE(Serves(0) && Serves(1) && Serves(2));
  EXPECT_THAT(kernel_.Rules("nat", "PREROUTING"), SizeIs(1));
}

TEST_F(TablesTest, AChangedBackendRewritesOneChain) {
  auto tables = Serving(1000);
  const PortOf changed = Numbered(7).On({"10.180.2.11:8007", "10.180.2.99:9999"});
  EXPECT_THAT(Apply(*tables, {changed}), IsEmpty());
  EXPECT_THAT(kernel_.last_restore, HasSubstr(ServiceChain("SVC", changed.Get().key)));
  EXPECT_EQ(Chains(kernel_.last_restore), 1);
}

TEST_F(TablesTest, AChangeWithoutEffectIsNotWritten) {
  auto tables = Serving(10);
  Apply(*tables, {Numbered(7)});
  EXPECT_EQ(kernel_.restores, 1);
}

TEST_F(TablesTest, ARemovedServiceLeavesNoChain) {
  auto tables = Serving(2);
  EXPECT_THAT(Apply(*tables, {Gone(Numbered(1))}), IsEmpty());
  EXPECT_FALSE(kernel_.Has("nat", ServiceChain("SVC", Numbered(1).Get().key)));
  EXPECT_TRUE(Serves(0));
}

TEST_F(TablesTest, AServiceThatLosesItsLastEndpointIsRejectedAndNoLongerTranslated) {
  auto tables = Serving(1);
  const PortOf empty = PortOf("shop/s0").ClusterIp("172.30.0.1", 80, kOutside);
  EXPECT_THAT(Apply(*tables, {empty}), IsEmpty());
  EXPECT_FALSE(Serves(0));
  EXPECT_THAT(kernel_.Rules("filter", "FAIRLEAD-SERVICES"), ElementsAre(HasSubstr("-j REJECT")));
}

// --- restart

TEST_F(TablesTest, ARestartWithTheSamePlanWritesNothing) {
  Serving(50);
  auto again = Open();
  Apply(*again, Changes(50));
  EXPECT_TRUE(again->Commit());
  EXPECT_EQ(kernel_.restores, 1);
}

TEST_F(TablesTest, ARestartKeepsServicesNobodyHasNamedYetUntilPrune) {
  Serving(20);
  auto again = Open();
  Apply(*again, Changes(5));
  EXPECT_TRUE(again->Commit());
  EXPECT_TRUE(Serves(4) && Serves(19));
  EXPECT_THAT(kernel_.Text(), HasSubstr("-d 172.30.0.20/32"));
  EXPECT_TRUE(again->Prune());
  EXPECT_TRUE(Serves(4));
  EXPECT_FALSE(Serves(19));
  EXPECT_THAT(kernel_.Text(), Not(HasSubstr("-d 172.30.0.20/32")));
}

TEST_F(TablesTest, AServiceThatGoesBetweenCommitAndPruneIsGoneAfterIt) {
  Serving(20);
  auto again = Open();
  Apply(*again, Changes(5));
  EXPECT_TRUE(again->Commit());
  EXPECT_THAT(Apply(*again, {Gone(Numbered(3))}), IsEmpty());
  EXPECT_TRUE(again->Prune());
  EXPECT_FALSE(kernel_.Has("nat", ServiceChain("SVC", Numbered(3).Get().key)));
}

TEST_F(TablesTest, AServiceScaledToZeroMeanwhileIsRejectedFromCommitOn) {
  Serving(2);
  auto again = Open();
  const PortOf empty = PortOf("shop/s1").ClusterIp("172.30.0.2", 80, kOutside);
  Apply(*again, {empty});
  ASSERT_TRUE(again->Commit());
  EXPECT_THAT(kernel_.Rules("filter", "FAIRLEAD-SERVICES"), ElementsAre(HasSubstr("-j REJECT")));
  for (const std::string& rule : kernel_.Rules("nat", "FAIRLEAD-SERVICES"))
    EXPECT_THAT(rule, Not(HasSubstr("-d 172.30.0.2/32")));
  EXPECT_TRUE(Serves(0)) << "of which nobody has said anything yet";
}

TEST_F(TablesTest, AServiceNamedAfterCommitIsNoLongerWhatItWas) {
  Serving(2);
  auto again = Open();
  ASSERT_TRUE(again->Commit());
  const PortOf empty = PortOf("shop/s1").ClusterIp("172.30.0.2", 80, kOutside);
  Apply(*again, {empty});
  for (const std::string& rule : kernel_.Rules("nat", "FAIRLEAD-SERVICES"))
    EXPECT_THAT(rule, Not(HasSubstr("-d 172.30.0.2/32")));
}

TEST_F(TablesTest, RulesOfOthersAndOfIpvsModeStayAsTheyAre) {
  kernel_.Append("nat", "PREROUTING", "-j KUBE-SERVICES");
  kernel_.Append("nat", "FAIRLEAD-IPVS-SERVICES", "-j MARK --set-xmark 0x1/0x1");
  Serving(1);
  EXPECT_THAT(kernel_.Rules("nat", "PREROUTING"),
              ElementsAre(HasSubstr("-j FAIRLEAD-SERVICES"), "-j KUBE-SERVICES"));
  EXPECT_THAT(kernel_.Rules("nat", "FAIRLEAD-IPVS-SERVICES"), SizeIs(1));
}

// --- faults

TEST_F(TablesTest, OneRefusedServiceFailsAloneAndTheOthersAreServed) {
  auto tables = Serving(1);
  kernel_.refuses = "10.180.2.11:8005";
  EXPECT_THAT(Apply(*tables, Changes(9)), ElementsAre("s5"));
  for (int i : {1, 2, 3, 4, 6, 7, 8}) EXPECT_TRUE(Serves(i)) << i;
  kernel_.refuses.clear();
  EXPECT_THAT(Apply(*tables, {Numbered(5)}), IsEmpty());
  EXPECT_TRUE(Serves(5));
}

TEST_F(TablesTest, AServiceWhoseChangeIsRefusedGoesOnAsItWas) {
  auto tables = Serving(3);
  kernel_.refuses = "10.180.2.99";
  EXPECT_THAT(Apply(*tables, {Numbered(1).On({"10.180.2.11:8001", "10.180.2.99:9999"})}), ElementsAre("s1"));
  tables->Reconcile(later_);
  EXPECT_TRUE(Serves(1));
}

TEST_F(TablesTest, ARefusedServiceAtTheStartIsTriedAgainAndTheOthersAreServed) {
  kernel_.refuses = "10.180.2.11:8005";
  auto tables = Open();
  Apply(*tables, Changes(9));
  EXPECT_TRUE(tables->Commit());
  EXPECT_TRUE(Serves(4) && Serves(8));
  EXPECT_FALSE(kernel_.Has("nat", ServiceChain("SVC", Numbered(5).Get().key)));
  ASSERT_THAT(tables->Refused(), SizeIs(1));
  EXPECT_EQ(tables->Refused()[0].key, Numbered(5).Get().key);
  EXPECT_THAT(tables->Refused()[0].error.message, HasSubstr("rules of shop/s5"));
  kernel_.refuses.clear();
  tables->Reconcile(later_);
  EXPECT_TRUE(Serves(5));
  EXPECT_THAT(tables->Refused(), IsEmpty());
  EXPECT_THAT(kernel_.Rules("filter", "FORWARD"), SizeIs(2));  // each jump once, whatever was refused
}

TEST_F(TablesTest, WhenEverythingIsRefusedItIsNotTriedOneByOne) {
  auto tables = Serving(1);
  kernel_.refuses = "10.180.2.11";
  EXPECT_THAT(tables->Apply(Changes(1000)), SizeIs(999));
  EXPECT_LT(kernel_.restores, 100);
}

TEST_F(TablesTest, ALockThatIsHeldFailsTheChangeAtOnceAndNamesTheLock) {
  auto tables = Serving(1);
  kernel_.locked = true;
  const auto failures = tables->Apply(std::vector<plan::Change>{Numbered(1), Numbered(2)});
  ASSERT_THAT(failures, SizeIs(2));
  EXPECT_THAT(failures[0].error.message, HasSubstr("held the lock of xtables"));
  EXPECT_EQ(kernel_.restores, 2);
}

TEST_F(TablesTest, CommitFailsWithoutTheProgramAndSucceedsWhenItIsThere) {
  auto tables = Open();
  Apply(*tables, Changes(1));
  kernel_.missing = true;
  auto failed = tables->Commit();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("iptables-nft-save"));
  kernel_.missing = false;
  EXPECT_TRUE(tables->Commit());
  EXPECT_TRUE(Serves(0));
}

TEST_F(TablesTest, CommitFailsWhenTheLockIsHeldWhileServicesAreTriedAlone) {
  kernel_.refuses = "10.180.2.11:8005";
  auto tables = Open();
  Apply(*tables, Changes(9));
  kernel_.locks_after = 2;  // all at once, the node's own chains
  auto failed = tables->Commit();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("held the lock of xtables"));
  kernel_.locks_after = 0;
  kernel_.refuses.clear();
  EXPECT_TRUE(tables->Commit());
  EXPECT_TRUE(Serves(0) && Serves(5) && Serves(8));
}

TEST_F(TablesTest, FailuresAreCounted) {
  auto tables = Serving(1);
  kernel_.locked = true;
  Apply(*tables, {Numbered(1)});
  EXPECT_EQ(tables->counts().failures, 1U);
  EXPECT_EQ(tables->counts().partial_failures, 1U);
}

// --- others

TEST_F(TablesTest, ChainsThatSomebodyFlushedAreWrittenAgain) {
  auto tables = Serving(3);
  kernel_.Flush("nat", "FAIRLEAD-SERVICES");
  tables->Reconcile(later_);
  EXPECT_THAT(kernel_.Rules("nat", "FAIRLEAD-SERVICES"), SizeIs(4));  // and the node's address
}

TEST_F(TablesTest, JumpsThatSomebodyDeletedStandAgainOnce) {
  auto tables = Serving(3);
  kernel_.Flush("nat", "PREROUTING");
  tables->Reconcile(later_);
  tables->Reconcile(later_ + std::chrono::hours(1));
  EXPECT_THAT(kernel_.Rules("nat", "PREROUTING"), ElementsAre(HasSubstr("-j FAIRLEAD-SERVICES")));
}

TEST_F(TablesTest, WhatIsGoneAltogetherIsMadeAnew) {
  auto tables = Serving(30);
  const std::string before = kernel_.Text();
  kernel_.DeleteAll();
  tables->Reconcile(later_);
  EXPECT_EQ(kernel_.Text(), before);
}

TEST_F(TablesTest, NobodyReadsRulesThatNobodyTouched) {
  auto tables = Serving(3);
  const int saves = kernel_.saves;
  tables->Reconcile(Tables::Clock::now() + std::chrono::seconds(2));
  EXPECT_EQ(kernel_.saves, saves);
}

TEST_F(TablesTest, RulesOfOthersThatChangeDoNotMakeUsWrite) {
  auto tables = Serving(3);
  kernel_.Append("nat", "CNI-HOSTPORT", "-j RETURN");
  tables->Reconcile(later_);
  EXPECT_EQ(kernel_.restores, 1);
}

TEST_F(TablesTest, WithoutAWatchAComparisonFindsIt) {
  auto tables = Open(false);
  Apply(*tables, Changes(1));
  ASSERT_TRUE(tables->Commit());
  kernel_.DeleteAll();
  tables->Reconcile(later_);
  EXPECT_TRUE(Serves(0));
}

TEST_F(TablesTest, RulesThatIptablesPrintsOtherwiseAreNotWrittenForEver) {
  kernel_.spells_otherwise = true;
  auto tables = Open(false);
  Apply(*tables, Changes(1));
  ASSERT_TRUE(tables->Commit());
  for (int hour = 1; hour <= 4; ++hour) tables->Reconcile(later_ + std::chrono::hours(hour));
  EXPECT_EQ(kernel_.restores, 2);
}

TEST_F(TablesTest, JumpsThatAFailedCommitDidNotWriteAreWrittenByTheNext) {
  options_.serves = netfilter::Serves::kOnlySctp;
  Serving(0);
  options_.serves = netfilter::Serves::kAll;
  auto tables = Open();
  kernel_.locked = true;
  ASSERT_FALSE(tables->Commit());
  kernel_.locked = false;
  ASSERT_TRUE(tables->Commit());
  EXPECT_THAT(kernel_.Rules("nat", "PREROUTING"), ElementsAre(Not(testing::StartsWith("-p sctp "))));
}

TEST_F(TablesTest, WhoMakesTheSameChangeAgainAtOnceIsPutRightAgain) {
  auto tables = Serving(1);
  const std::string chain(kPostrouting), before = kernel_.Text();
  auto tamper = [&] {
    const auto rules = kernel_.Rules("nat", chain);
    kernel_.Flush("nat", chain);
    for (size_t i = 0; i < rules.size(); ++i) kernel_.Append("nat", chain, "-j ACCEPT");
  };
  for (int hour = 0; hour < 3; ++hour) {
    tamper();
    tables->Reconcile(later_ + std::chrono::hours(hour));
    EXPECT_EQ(kernel_.Text(), before);
  }
}

TEST_F(TablesTest, ARemovedServiceIsNotServedThoughARuleOfOthersLeadsToItsChain) {
  auto tables = Serving(2);
  const std::string chain = ServiceChain("SVC", Numbered(1).Get().key);
  kernel_.Append("nat", "CNI-DN", "-j " + chain);
  EXPECT_THAT(Apply(*tables, {Gone(Numbered(1))}), IsEmpty());
  EXPECT_FALSE(Serves(1));
  EXPECT_THAT(kernel_.Text(), Not(HasSubstr("-d 172.30.0.2/32")));
  EXPECT_TRUE(Serves(0));
  tables->Reconcile(later_);
  EXPECT_TRUE(kernel_.Has("nat", chain));
  kernel_.Flush("nat", "CNI-DN");
  tables->Reconcile(later_ + std::chrono::hours(1));
  EXPECT_FALSE(kernel_.Has("nat", chain));
}

TEST_F(TablesTest, AServiceThatComesBackToAChainOthersHeldIsServed) {
  auto tables = Serving(2);
  kernel_.Append("nat", "CNI-DN", "-j " + ServiceChain("SVC", Numbered(1).Get().key));
  EXPECT_THAT(Apply(*tables, {Gone(Numbered(1))}), IsEmpty());
  EXPECT_THAT(Apply(*tables, {Numbered(1)}), IsEmpty());
  tables->Reconcile(later_);
  EXPECT_TRUE(Serves(1));
}

TEST_F(TablesTest, WhatSomebodyTouchesWhileCommitWritesIsPutRightAtTheNextLook) {
  Serving(1);
  auto again = Open();
  Apply(*again, Changes(1));
  int saves = 0;
  kernel_.after_save = [&] {
    if (++saves == 2) kernel_.Flush("nat", std::string(kServices));
  };
  ASSERT_TRUE(again->Commit());
  kernel_.after_save = nullptr;
  again->Reconcile(Tables::Clock::now() + std::chrono::seconds(2));
  EXPECT_THAT(kernel_.Rules("nat", std::string(kServices)), Not(IsEmpty()));
}

// --- the node

TEST_F(TablesTest, AnAddressTheNodeGetsAnswersNodePorts) {
  auto tables = Serving(1);
  plan::NodePlan node;
  node.nodeport_addresses = {test::Addr("192.168.99.11"), test::Addr("192.168.99.12")};
  node.pod_cidrs = {test::Range("10.180.0.0/16")};
  EXPECT_TRUE(tables->ApplyNode(node));
  EXPECT_THAT(kernel_.Text(), HasSubstr("-d 192.168.99.12/32"));
}

TEST_F(TablesTest, TheGuardOfLocalhostMayStayWithoutNodePortsThere) {
  auto tables = Open();
  tables->KeepGuard();
  ASSERT_TRUE(tables->Commit());
  EXPECT_THAT(kernel_.Rules("filter", std::string(kFirewall)),
              ElementsAre(HasSubstr("-d 127.0.0.0/8 ! -i lo")));
  EXPECT_THAT(kernel_.Rules("filter", "INPUT"), testing::Contains(HasSubstr("-j FAIRLEAD-FIREWALL")));
  EXPECT_FALSE(kernel_.Has("filter", std::string(kLocalhost)));
}

TEST_F(TablesTest, ANoteIsKeptByALaterRun) {
  auto tables = Serving(1);
  EXPECT_FALSE(tables->HasNote(kLocalnetNote));
  EXPECT_TRUE(tables->SetNote(kLocalnetNote, true));
  auto again = Open();
  Apply(*again, Changes(1));
  EXPECT_TRUE(again->Commit());
  EXPECT_TRUE(again->Prune());
  EXPECT_TRUE(again->HasNote(kLocalnetNote));
  EXPECT_TRUE(kernel_.Has("filter", std::string(kLocalnetNote)));
}

TEST_F(TablesTest, BesideEbpfOnlySctpMeetsOurRules) {
  options_.serves = netfilter::Serves::kOnlySctp;
  Serving(0);
  for (const char* chain : {"PREROUTING", "OUTPUT", "POSTROUTING"}) {
    EXPECT_THAT(kernel_.Rules("nat", chain), testing::Each(testing::StartsWith("-p sctp "))) << chain;
  }
  for (const char* chain : {"INPUT", "FORWARD", "OUTPUT"}) {
    EXPECT_THAT(kernel_.Rules("filter", chain), testing::Each(testing::StartsWith("-p sctp "))) << chain;
  }
}

TEST_F(TablesTest, InvalidSegmentsPassWhereTcpIsLiberal) {
  options_.tcp_be_liberal = true;
  Serving(0);
  EXPECT_THAT(kernel_.Text(), Not(HasSubstr("INVALID")));
}

}  // namespace
}  // namespace fairlead::iptables
