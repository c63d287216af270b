// SPDX-License-Identifier: Apache-2.0
// What the loop says of changes that wait: in /metrics and /healthz, whoever tries them again.
#include "agent/run/syncer.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>

#include <thread>

#include "test/support/objects.h"
#include "test/support/world.h"
#include "test/unit/modes/fake_datapath.h"

namespace fairlead::run {
namespace {

using namespace std::chrono_literals;
using test::FakeDatapath;
using test::Service;
using testing::HasSubstr;

constexpr plan::Protocol kTcp = plan::Protocol::kTcp;

// A datapath that takes every change and refuses one of them at Commit, until it is told to write it.
class Refusing : public FakeDatapath {
 public:
  using FakeDatapath::FakeDatapath;
  Result<void> Commit() override {
    refused = at_commit;
    return FakeDatapath::Commit();
  }
  std::optional<std::chrono::steady_clock::time_point> Reconcile() override {
    if (heals) refused.clear();
    return std::chrono::steady_clock::now() + 5ms;
  }
  std::vector<datapath::Refusal> at_commit;
  std::atomic<bool> heals = false;
};

class SyncerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(addresses_) << addresses_.error().message;
    ASSERT_TRUE(checks_) << checks_.error().message;
    syncer_ = std::make_unique<Syncer>(options_, test::Facts(), inbox_, *addresses_, datapath_, health_,
                                       *checks_, metrics_);
    for (kube::Kind kind : {kube::Kind::kEndpointSlice, kube::Kind::kNode, kube::Kind::kServiceCidr})
      inbox_.Push(test::Replace(kind, {}));
    inbox_.Push(
        test::Replace(kube::Kind::kService, {Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80),
                                             Service("shop/web").ClusterIp("172.30.0.11").Port("http", 80)}));
  }
  void TearDown() override {
    ::eventfd_write(stop_.Get(), 1);
    if (loop_.joinable()) loop_.join();
  }
  void Run() {
    loop_ = std::thread([this] { syncer_->Run(stop_.Get(), [] {}); });
  }
  // True once /metrics has this line.
  bool Says(std::string_view line) const {
    for (int i = 0; i < 1000; ++i) {
      if (("\n" + metrics_.Expose()).contains(fmt::format("\n{}\n", line))) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  static plan::ServicePortKey Key(std::string_view service) {
    return {test::Name(service), "http", kTcp, Family::kIpv4};
  }

  Options options_ = [] {
    Options options;
    options.sync_period = 1h;  // no pass but those that something asks for
    return options;
  }();
  test::Journal journal_;
  Refusing datapath_{"iptables", journal_};
  Inbox inbox_;
  Metrics metrics_;
  // What waits is late at once.
  Health health_{0ms};
  Result<NodeAddresses> addresses_ = NodeAddresses::Open();
  Result<HealthChecks> checks_ = HealthChecks::Create(health_);
  Fd stop_{::eventfd(0, EFD_NONBLOCK)};
  std::unique_ptr<Syncer> syncer_;
  std::thread loop_;
};

TEST_F(SyncerTest, WhatTheDatapathRefusedAtCommitWaitsUntilTheDatapathHasWrittenIt) {
  datapath_.at_commit = {{Key("shop/web"), {ErrorKind::kUnavailable, 0, "line 3 failed"}}};
  Run();
  EXPECT_TRUE(Says("fairlead_pending_writes 1"));
  datapath_.heals = true;
  EXPECT_TRUE(Says("fairlead_pending_writes 0"));
}

TEST_F(SyncerTest, AChangeThatFailsAndIsRefusedAsWellWaitsOnce) {
  datapath_.fails = {"Apply"};
  datapath_.at_commit = {{Key("shop/web"), {ErrorKind::kUnavailable, 0, "line 3 failed"}}};
  Run();
  EXPECT_TRUE(Says("fairlead_pending_writes 2"));
}

TEST_F(SyncerTest, AFamilyOfWhichSomethingIsRefusedIsNotInSync) {
  health_.Synced(Family::kIpv4);
  datapath_.at_commit = {{Key("shop/web"), {ErrorKind::kUnavailable, 0, "line 3 failed"}}};
  Run();
  ASSERT_TRUE(Says("fairlead_pending_writes 1"));
  EXPECT_FALSE(health_.IsHealthy());
  datapath_.heals = true;
  ASSERT_TRUE(Says("fairlead_pending_writes 0"));
  EXPECT_TRUE(health_.IsHealthy());
}

TEST_F(SyncerTest, WhatThisNodeCannotServeWaitsButMakesNobodyLate) {
  health_.Synced(Family::kIpv4);
  datapath_.at_commit = {{Key("shop/web"), {ErrorKind::kUnsupported, 0, "no such match"}}};
  Run();
  ASSERT_TRUE(Says("fairlead_pending_writes 1"));
  EXPECT_TRUE(health_.IsHealthy());
}

}  // namespace
}  // namespace fairlead::run
