// SPDX-License-Identifier: Apache-2.0
// What was there before goes, in which order, and what happens when it does not.
#include "agent/datapath/modes/takeover.h"

#include <gmock/gmock.h>

#include "test/unit/modes/fake_datapath.h"

namespace fairlead::modes {
namespace {

using std::chrono::seconds;
using test::FakeDatapath;
using test::Journal;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;

class TakeoverTest : public testing::Test {
 protected:
  std::unique_ptr<Takeover> Make(bool remove_kube_proxy = true) {
    auto inner = std::make_unique<FakeDatapath>("nftables", journal_);
    inner_ = inner.get();
    Leftovers leftovers;
    leftovers.others = [this] {
      return std::vector<Leftovers::Other>{{"ebpf", [this] { return Clean("ebpf"); }},
                                           {"iptables", [this] { return Clean("iptables"); }}};
    };
    leftovers.find_kube_proxy = [this]() -> Result<std::vector<std::string>> {
      journal_.push_back("find");
      return kube_proxy_;
    };
    leftovers.remove_kube_proxy = [this]() -> Result<void> {
      journal_.push_back("remove");
      if (!removal_works_) return Fail(ErrorKind::kUnavailable, "lock held");
      kube_proxy_.clear();
      return {};
    };
    leftovers.keep_established = [this]() -> Result<void> {
      journal_.push_back("keep");
      return {};
    };
    leftovers.now = [this] { return now_; };
    return std::make_unique<Takeover>(std::move(inner), std::move(leftovers), remove_kube_proxy);
  }
  Result<bool> Clean(const std::string& name) {
    journal_.push_back("clean " + name);
    if (refuses_ == name) return Fail(ErrorKind::kUnavailable, "{} is busy", name);
    return true;
  }
  Journal Take() { return std::exchange(journal_, {}); }

  Journal journal_;
  FakeDatapath* inner_ = nullptr;
  std::vector<std::string> kube_proxy_;
  bool removal_works_ = true;
  std::string refuses_;
  Takeover::Clock::time_point now_{};
};

TEST_F(TakeoverTest, NothingGoesBeforePrune) {
  auto takeover = Make();
  takeover->Apply({});
  EXPECT_TRUE(takeover->ApplyNode({}));
  EXPECT_TRUE(takeover->Commit());
  takeover->Reconcile();
  EXPECT_THAT(Take(), ElementsAre("nftables: ApplyNode", "nftables: Commit"));
}

TEST_F(TakeoverTest, ConnectionsAreKeptBeforeAnythingGoes) {
  kube_proxy_ = {"chain KUBE-SERVICES"};
  EXPECT_TRUE(Make()->Prune());
  Journal journal = Take();
  journal.pop_back();  // the fake ends
  EXPECT_THAT(journal,
              ElementsAre("nftables: Prune", "keep", "clean ebpf", "clean iptables", "find", "remove"));
}

TEST_F(TakeoverTest, OneThatStaysHoldsUpNoOtherAndIsTheError) {
  refuses_ = "ebpf";
  kube_proxy_ = {"chain KUBE-SERVICES"};
  auto takeover = Make();
  auto pruned = takeover->Prune();
  ASSERT_FALSE(pruned);
  EXPECT_EQ(pruned.error().message, "remove what ebpf mode left: ebpf is busy");
  EXPECT_THAT(Take(), IsSupersetOf({"clean iptables", "remove"}));
}

TEST_F(TakeoverTest, KubeProxyStaysWhereItIsAskedTo) {
  kube_proxy_ = {"chain KUBE-SERVICES"};
  auto takeover = Make(false);
  EXPECT_TRUE(takeover->Prune());
  EXPECT_THAT(Take(), testing::Not(testing::Contains("remove")));
}

TEST_F(TakeoverTest, AFailedRemovalIsAnErrorAndTriedAgain) {
  kube_proxy_ = {"chain KUBE-SERVICES"};
  removal_works_ = false;
  auto takeover = Make();
  auto pruned = takeover->Prune();
  ASSERT_FALSE(pruned);
  EXPECT_EQ(pruned.error().message, "remove kube-proxy's rules: lock held");
  removal_works_ = true;
  EXPECT_TRUE(takeover->Prune());
  EXPECT_THAT(kube_proxy_, IsEmpty());
}

TEST_F(TakeoverTest, RulesThatComeBackAreLookedForOnceAndStay) {
  kube_proxy_ = {"chain KUBE-SERVICES"};
  auto takeover = Make();
  ASSERT_TRUE(takeover->Prune());
  kube_proxy_ = {"chain KUBE-SERVICES"};
  Take();
  takeover->Reconcile();
  EXPECT_THAT(Take(), IsEmpty()) << "kube-proxy has had no time yet";
  now_ += seconds(75);
  takeover->Reconcile();
  EXPECT_THAT(Take(), ElementsAre("keep", "find"));
  now_ += seconds(3600);
  takeover->Reconcile();
  EXPECT_THAT(Take(), ElementsAre("keep"));
}

TEST_F(TakeoverTest, ReconcileComesBackForWhatIsDueFirst) {
  auto takeover = Make();
  EXPECT_EQ(takeover->Reconcile(), std::nullopt);
  ASSERT_TRUE(takeover->Prune());
  EXPECT_EQ(takeover->Reconcile(), now_ + seconds(30)) << "connections";
  inner_->next = now_ + seconds(5);
  EXPECT_EQ(takeover->Reconcile(), now_ + seconds(5));
}

TEST_F(TakeoverTest, WhatTheDatapathRefusedIsNotHidden) {
  auto takeover = Make();
  inner_->refused = {{{{"shop", "web"}, "p", plan::Protocol::kTcp, Family::kIpv4}, {}}};
  EXPECT_EQ(takeover->Refused().size(), 1U);
}

TEST_F(TakeoverTest, RulesAreNamedAfterTheDatapath) {
  EXPECT_EQ(Make()->Rules().datapath, "nftables");
}

}  // namespace
}  // namespace fairlead::modes
