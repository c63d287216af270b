// SPDX-License-Identifier: Apache-2.0
// Two datapaths as one: who gets what, and who waits for whom.
#include "agent/datapath/modes/beside.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <functional>

#include "test/unit/modes/fake_datapath.h"

namespace fairlead::modes {
namespace {

using std::chrono::seconds;
using test::FakeDatapath;
using test::Journal;
using testing::ElementsAre;
using testing::IsEmpty;

plan::Change ChangeOf(const std::string& name, plan::Protocol protocol, bool removed = false) {
  auto port = std::make_shared<plan::ServicePort>();
  port->key = {{"shop", name}, "p", protocol, Family::kIpv4};
  return {port->key, removed ? nullptr : port};
}
const plan::Change kWeb = ChangeOf("web", plan::Protocol::kTcp);
const plan::Change kDns = ChangeOf("dns", plan::Protocol::kUdp);
const plan::Change kSig = ChangeOf("sig", plan::Protocol::kSctp);
const plan::Change kSigGone = ChangeOf("sig", plan::Protocol::kSctp, true);

class BesideTest : public testing::Test {
 protected:
  void SetUp() override {
    auto first = std::make_unique<FakeDatapath>("ebpf", journal_);
    first_ = first.get();
    first_->event = ready_.Get();
    Beside::Second second;
    second.open = [this]() -> Result<std::unique_ptr<datapath::Datapath>> {
      journal_.push_back("open");
      if (!second_opens_) return Fail(ErrorKind::kUnsupported, "no nft here");
      auto made = std::make_unique<FakeDatapath>("nftables", journal_);
      made->fails = second_fails_;
      second_ = made.get();
      return made;
    };
    second.clean_up = [this](std::string_view name) -> Result<void> {
      journal_.push_back("clean up " + std::string(name));
      if (!clean_up_works_) return Fail(ErrorKind::kUnavailable, "busy");
      return {};
    };
    second.now = [this] { return now_; };
    beside_ = *Beside::Create(std::move(first), std::move(second));
  }
  std::vector<datapath::Failure> Apply(std::vector<plan::Change> changes) { return beside_->Apply(changes); }
  Journal Take() { return std::exchange(journal_, {}); }

  Journal journal_;
  Fd ready_{::eventfd(0, EFD_NONBLOCK)};
  FakeDatapath* first_ = nullptr;
  FakeDatapath* second_ = nullptr;
  bool second_opens_ = true, clean_up_works_ = true;
  std::set<std::string> second_fails_;
  Beside::Clock::time_point now_{};
  std::unique_ptr<Beside> beside_;
};

TEST_F(BesideTest, WithoutSctpTheSecondIsNeverOpened) {
  EXPECT_THAT(Apply({kDns, kWeb}), IsEmpty());
  EXPECT_TRUE(beside_->ApplyNode({}));
  EXPECT_TRUE(beside_->Commit());
  EXPECT_TRUE(beside_->Prune());
  EXPECT_THAT(Take(), ElementsAre("ebpf: +shop/dns:p/UDP IPv4", "ebpf: +shop/web:p/TCP IPv4",
                                  "ebpf: ApplyNode", "ebpf: Commit", "ebpf: Prune"));
  EXPECT_THAT(beside_->Shares(), IsEmpty());
}

TEST_F(BesideTest, SctpOfTheFirstPlanIsWrittenWithIt) {
  EXPECT_TRUE(beside_->ApplyNode({}));
  Apply({kSig, kWeb});
  // Which of the two comes first is no promise.
  EXPECT_THAT(Take(),
              testing::UnorderedElementsAre("ebpf: ApplyNode", "ebpf: +shop/web:p/TCP IPv4", "open",
                                            "nftables: ApplyNode", "nftables: +shop/sig:p/SCTP IPv4"));
  EXPECT_TRUE(beside_->Commit());
  EXPECT_TRUE(beside_->Prune());
  EXPECT_THAT(Take(), ElementsAre("ebpf: Commit", "nftables: Commit", "ebpf: Prune", "nftables: Prune"));
  ASSERT_EQ(beside_->Shares().size(), 1U);
  EXPECT_EQ(beside_->Shares()[0].datapath, "nftables");
  EXPECT_EQ(beside_->Shares()[0].service_ports, 1U);
}

TEST_F(BesideTest, SctpThatComesLaterIsCommittedAtOnce) {
  beside_->ApplyNode({}).value();
  beside_->Commit().value();
  beside_->Prune().value();
  Take();
  Apply({kSig});
  EXPECT_THAT(Take(), ElementsAre("open", "nftables: ApplyNode", "nftables: +shop/sig:p/SCTP IPv4",
                                  "nftables: Commit", "nftables: Prune"));
}

TEST_F(BesideTest, TheLastSctpServiceTakesTheSecondWithIt) {
  Apply({kSig});
  beside_->Commit().value();
  Take();
  EXPECT_THAT(Apply({kSigGone}), IsEmpty());
  EXPECT_THAT(Take(), ElementsAre("nftables: ends", "clean up nftables"));
  EXPECT_EQ(beside_->BytesWritten(), 200U) << "what it wrote stays counted";
  Apply({kSig});
  EXPECT_THAT(Take(), testing::Contains("open"));
}

TEST_F(BesideTest, ASecondThatDoesNotOpenFailsSctpAlone) {
  second_opens_ = false;
  auto failures = Apply({kSig, kWeb});
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].change.key, kSig.key);
  EXPECT_EQ(failures[0].error.message, "shop/sig:p/SCTP IPv4: no nft here");
  EXPECT_TRUE(beside_->Commit());

  second_opens_ = true;  // the caller tries again
  Take();
  EXPECT_THAT(Apply({kSig}), IsEmpty());
  EXPECT_THAT(Take(), ElementsAre("open", "nftables: +shop/sig:p/SCTP IPv4", "nftables: Commit"));
}

TEST_F(BesideTest, FailuresOfTheSecondsCommitAreTriedAgainAndHoldNobodyUp) {
  second_fails_ = {"Commit"};
  Apply({kSig, kWeb});
  EXPECT_TRUE(beside_->Commit());
  Take();
  EXPECT_EQ(beside_->Reconcile(), now_ + seconds(10));
  EXPECT_THAT(Take(), IsEmpty()) << "not before its time";
  second_->fails.clear();
  now_ += seconds(10);
  EXPECT_EQ(beside_->Reconcile(), std::nullopt);
  EXPECT_THAT(Take(), ElementsAre("nftables: Commit"));
}

TEST_F(BesideTest, EverySctpPortIsRefusedUntilTheSecondsCommitSucceeds) {
  second_fails_ = {"Commit"};
  Apply({kSig, kWeb});
  EXPECT_THAT(beside_->Refused(), IsEmpty()) << "nobody has asked for Commit";
  EXPECT_TRUE(beside_->Commit());
  ASSERT_EQ(beside_->Refused().size(), 1U);
  EXPECT_EQ(beside_->Refused()[0].key, kSig.key);
  EXPECT_EQ(beside_->Refused()[0].error.message, "shop/sig:p/SCTP IPv4: nftables refuses Commit");
  second_->fails.clear();
  now_ += seconds(10);
  beside_->Reconcile();
  EXPECT_THAT(beside_->Refused(), IsEmpty());
}

TEST_F(BesideTest, WhatEitherOfThemRefusesIsNamed) {
  Apply({kSig, kWeb});
  beside_->Commit().value();
  first_->refused = {{kWeb.key, {}}};
  second_->refused = {{kSig.key, {}}};
  ASSERT_EQ(beside_->Refused().size(), 2U);
  EXPECT_EQ(beside_->Refused()[0].key, kWeb.key);
  EXPECT_EQ(beside_->Refused()[1].key, kSig.key);
}

TEST_F(BesideTest, ChangesThatOneRefusesAreItsOwnFailures) {
  first_->fails = {"Apply"};
  auto failures = Apply({kSig, kWeb});
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].change.key, kWeb.key);
}

TEST_F(BesideTest, AFailedCleanUpIsTriedAgain) {
  Apply({kSig});
  clean_up_works_ = false;
  Apply({kSigGone});
  clean_up_works_ = true;
  Take();
  now_ += seconds(10);
  beside_->Reconcile();
  EXPECT_THAT(Take(), ElementsAre("clean up nftables"));
}

TEST_F(BesideTest, EventsWakeTheCaller) {
  pollfd poll{beside_->event_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&poll, 1, 0), 0);
  ::eventfd_write(ready_.Get(), 1);
  EXPECT_EQ(::poll(&poll, 1, 0), 1);
}

TEST_F(BesideTest, RulesAreNamedAfterTheSecond) {
  EXPECT_EQ(beside_->Rules().datapath, "");
  Apply({kSig});
  EXPECT_EQ(beside_->Rules().datapath, "nftables");
  EXPECT_EQ(beside_->Rules().failures[0], 7U);
}

}  // namespace
}  // namespace fairlead::modes
