// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/server_table.h"

#include <gtest/gtest.h>

#include "test/support/ipvs/fake_host.h"
#include "test/support/objects.h"

namespace fairlead::ipvs {
namespace {

using test::Addr;
using test::FakeKernel;

const ServerKey kWeb{Addr("172.30.0.10"), 80, plan::Protocol::kTcp};
const ServerKey kDns{Addr("172.30.0.11"), 53, plan::Protocol::kTcp};
const BackendKey kA{Addr("10.180.0.11"), 8080};
const BackendKey kB{Addr("10.180.1.11"), 8080};

class ServerTableTest : public testing::Test {
 protected:
  void Want(const ServerKey& key, Weights backends) {
    wanted_[key] = {key, {"rr", 0, 0}, std::move(backends), {}};
  }
  std::map<ServerKey, Error> Bring(std::vector<ServerKey> keys) { return table_.Bring(keys, Wanted()); }
  ServerTable::Wanted Wanted() {
    return [this](const ServerKey& key) -> const VirtualServer* {
      const auto it = wanted_.find(key);
      return it == wanted_.end() ? nullptr : &it->second;
    };
  }
  void Load(std::set<ServerKey> ours = {}) {
    ASSERT_TRUE(table_.Load([&](const ServerKey& key) { return ours.contains(key); }));
  }

  FakeKernel kernel_;
  ServerTable table_{kernel_};
  std::map<ServerKey, VirtualServer> wanted_;
};

TEST_F(ServerTableTest, AServerThatIsNotOursIsLeftAlone) {
  kernel_.servers[kDns] = {{"wlc", 0, 0}, {{kA, 7}}};
  Load();
  EXPECT_TRUE(Bring({kDns}).empty());
  EXPECT_EQ(kernel_.Text(), "172.30.0.11:53/TCP wlc: 10.180.0.11:8080=7");
  EXPECT_FALSE(table_.Has(kDns));
  EXPECT_FALSE(table_.HasAddress(kDns.address));
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(ServerTableTest, AServerSomebodyElseMadeIsTakenOverWhenItIsWanted) {
  kernel_.servers[kWeb] = {{"wlc", 0, 0}, {{kA, 1}}};
  Load();
  Want(kWeb, {{kA, 1}});
  EXPECT_TRUE(Bring({kWeb}).empty());
  EXPECT_EQ(kernel_.log, std::vector<std::string>{"set 172.30.0.10:80/TCP rr flags 0x0 timeout 0"});
  EXPECT_TRUE(table_.Has(kWeb));
}

TEST_F(ServerTableTest, AServerOfAnEarlierRunIsWrittenOnlyWhereItDiffers) {
  kernel_.servers[kWeb] = {{"rr", 0, 0}, {{kA, 1}, {kB, 1}}};
  Load({kWeb});
  Want(kWeb, {{kA, 1}, {kB, 2}});
  EXPECT_TRUE(Bring({kWeb}).empty());
  EXPECT_EQ(kernel_.log, std::vector<std::string>{"set 10.180.1.11:8080 of 172.30.0.10:80/TCP weight 2"});
}

TEST_F(ServerTableTest, WhatAFailureLeftUnknownIsLookedAtAndDoneAgain) {
  Load();
  Want(kWeb, {{kA, 1}});
  kernel_.servers[kWeb] = {{"rr", 0, 0}, {}};  // behind our back
  EXPECT_TRUE(Bring({kWeb}).empty());
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.0.11:8080=1");
}

TEST_F(ServerTableTest, OneThatIsRefusedDoesNotHoldUpAnother) {
  Load();
  Want(kWeb, {{kA, 1}});
  Want(kDns, {{kB, 1}});
  kernel_.refused = {kWeb};
  const auto failed = Bring({kWeb, kDns});
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed.at(kWeb).message,
            "IPVS: add 172.30.0.10:80/TCP rr flags 0x0 timeout 0: Cannot allocate memory");
  EXPECT_EQ(kernel_.Text(), "172.30.0.11:53/TCP rr: 10.180.1.11:8080=1");
}

TEST_F(ServerTableTest, ABackendDrainsUntilItsLastConnectionIsOver) {
  Load();
  Want(kWeb, {{kA, 1}, {kB, 1}});
  Bring({kWeb});
  EXPECT_FALSE(table_.Draining());
  kernel_.connections[kWeb][kA] = {1, 1};
  Want(kWeb, {{kB, 1}});
  Bring({kWeb});
  EXPECT_TRUE(table_.Draining());
  EXPECT_TRUE(table_.Sweep(Wanted()).empty());
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.0.11:8080=0 10.180.1.11:8080=1");
  kernel_.connections[kWeb][kA] = {0, 0};
  EXPECT_TRUE(table_.Sweep(Wanted()).empty());
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_FALSE(table_.Draining());
}

TEST_F(ServerTableTest, AServerDrainsUntilNothingOfItIsEstablishedAndIsNamedThen) {
  Load();
  Want(kWeb, {{kA, 1}});
  Bring({kWeb});
  kernel_.connections[kWeb][kA] = {1, 0};
  wanted_.clear();
  Bring({kWeb});
  EXPECT_TRUE(table_.Sweep(Wanted()).empty());
  EXPECT_TRUE(table_.HasAddress(kWeb.address)) << "its address is needed while it drains";
  kernel_.connections[kWeb][kA] = {0, 1};
  EXPECT_EQ(table_.Sweep(Wanted()), std::vector{kWeb});
  EXPECT_EQ(kernel_.Text(), "");
  EXPECT_FALSE(table_.HasAddress(kWeb.address));
}

TEST_F(ServerTableTest, AServerThatIsWantedAgainWhileItDrainsServesAgain) {
  Load();
  Want(kWeb, {{kA, 1}});
  Bring({kWeb});
  kernel_.connections[kWeb][kA] = {1, 0};
  wanted_.clear();
  Bring({kWeb});
  Want(kWeb, {{kA, 1}});
  Bring({kWeb});
  EXPECT_FALSE(table_.Draining());
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.0.11:8080=1");
}

TEST_F(ServerTableTest, ADrainingServerSomebodyRemovedIsGone) {
  Load();
  Want(kWeb, {{kA, 1}});
  Bring({kWeb});
  wanted_.clear();
  Bring({kWeb});
  kernel_.servers.clear();
  EXPECT_EQ(table_.Sweep(Wanted()), std::vector{kWeb});
  EXPECT_FALSE(table_.Draining());
}

}  // namespace
}  // namespace fairlead::ipvs
