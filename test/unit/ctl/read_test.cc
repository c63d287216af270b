// SPDX-License-Identifier: Apache-2.0
// What is read of the tables, whole, half written, and while the agent writes.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "test/unit/ctl/world.h"

namespace fairlead::ctl {
namespace {

using plan::Protocol;

TEST(ReadTest, AFrontendComesWithItsServiceAndItsBackends) {
  World world;
  auto cart = Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80)},
                   {At("10.180.1.11", 8080, true), At("10.180.2.11", 8080, false, true)});
  cart.affinity_timeout_s = 600;
  world.Set(cart);

  Snapshot snapshot = world.Read();
  ASSERT_EQ(snapshot.frontends.size(), 1u);
  const Frontend& frontend = snapshot.frontends[0];
  EXPECT_EQ(frontend.service, cart.key);
  EXPECT_EQ(frontend.kind, Kind::kClusterIp);
  EXPECT_EQ(frontend.address, test::Addr("172.30.0.10"));
  EXPECT_EQ(frontend.port, 80);
  EXPECT_EQ(frontend.scope, Scope::kAll);
  EXPECT_EQ(frontend.algorithm, "random");
  EXPECT_EQ(frontend.affinity_timeout_s, 600u);
  EXPECT_FALSE(frontend.changing);
  ASSERT_EQ(frontend.backends.size(), 2u);
  EXPECT_EQ(frontend.backends[0].address, test::Addr("10.180.1.11"));
  EXPECT_EQ(frontend.backends[0].port, 8080);
  EXPECT_TRUE(frontend.backends[0].local);
  EXPECT_FALSE(frontend.backends[0].terminating);
  EXPECT_FALSE(frontend.backends[1].local);
  EXPECT_TRUE(frontend.backends[1].terminating);
}

TEST(ReadTest, ExternalTrafficPolicyLocalShowsTwoScopes) {
  World world;
  auto web = Port("shop/web", "", Protocol::kTcp, {NodePort(30001)},
                  {At("10.180.1.11", 80, true), At("10.180.2.11", 80)});
  web.external_local = true;
  web.needs_local = true;
  web.local = {At("10.180.1.11", 80, true)};
  world.Set(web);

  Snapshot snapshot = world.Read();
  ASSERT_EQ(snapshot.frontends.size(), 2u);
  EXPECT_EQ(snapshot.frontends[0].kind, Kind::kNodePort);
  EXPECT_EQ(snapshot.frontends[0].scope, Scope::kCluster);
  EXPECT_EQ(snapshot.frontends[0].Offered(), 2u);
  EXPECT_EQ(snapshot.frontends[1].scope, Scope::kExternal);
  EXPECT_EQ(snapshot.frontends[1].Offered(), 1u);
}

TEST(ReadTest, CopiesThatMakeAWeightAreOneBackend) {
  World world;
  auto cart = Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80)},
                   {At("10.180.1.11", 80), At("10.180.1.12", 80)});
  cart.cluster[0].weight = 3;
  world.Set(cart);

  Snapshot snapshot = world.Read();
  ASSERT_EQ(snapshot.frontends.at(0).backends.size(), 2u);
  EXPECT_EQ(snapshot.frontends[0].backends[0].weight, 3);
}

TEST(ReadTest, DrainingBackendsOfUdpAreTold) {
  World world;
  auto dns =
      Port("kube-system/dns", "dns", Protocol::kUdp, {ClusterIp("172.30.0.53", 53)}, {At("10.180.1.11", 53)});
  dns.draining = {At("10.180.1.12", 53, false, true)};
  world.Set(dns);

  Snapshot snapshot = world.Read();
  EXPECT_EQ(snapshot.frontends.at(0).Offered(), 1u);
  EXPECT_EQ(snapshot.frontends[0].Draining(), 1u);
  EXPECT_TRUE(snapshot.frontends[0].backends.at(1).draining);
}

TEST(ReadTest, ConnectionsAreThoseOfTheIds) {
  World world;
  world.Set(
      Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80)}, {At("10.180.1.11", 8080)}));
  Frontend before = world.Read().frontends.at(0);
  world.memory.service_traffic[before.service_id].connections = 7;
  world.memory.backend_traffic[before.backends.at(0).id].connections = 6;

  Frontend frontend = world.Read().frontends.at(0);
  EXPECT_EQ(frontend.connections, 7u);
  EXPECT_EQ(frontend.backends[0].connections, 6u);
}

TEST(ReadTest, NodeAddressesAndServiceCidrsAreTold) {
  World world;
  plan::NodePlan node;
  node.nodeport_addresses = {test::Addr("192.168.99.11")};
  node.loopback_nodeports_v4 = true;
  node.service_cidrs = {test::Range("172.30.0.0/16"), test::Range("fd00:172:30::/112")};
  ASSERT_TRUE(world.writer.ApplyNode(node).has_value());
  while (world.reclaimer.Poll()) {
  }

  Snapshot snapshot = world.Read();
  EXPECT_EQ(snapshot.nodeport_addresses,
            (std::vector<Address>{test::Addr("127.0.0.1"), test::Addr("192.168.99.11")}));
  EXPECT_EQ(snapshot.service_cidrs, node.service_cidrs);
  EXPECT_TRUE(snapshot.frontends.empty());
}

TEST(ReadTest, TableUseIsWhatTheWriterCounts) {
  World world;
  auto cart = Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80), NodePort(30001)},
                   {At("10.180.1.11", 80), At("10.180.1.12", 80)});
  cart.algorithm = plan::Algorithm::kMaglev;
  world.Set(cart);
  while (world.reclaimer.Poll()) {
  }

  Snapshot snapshot = world.Read();
  const auto usages = world.writer.Usages();
  ASSERT_EQ(snapshot.tables.size(), usages.size());
  for (size_t i = 0; i < usages.size(); ++i) {
    EXPECT_EQ(snapshot.tables[i].name, usages[i].table);
    EXPECT_EQ(snapshot.tables[i].used, usages[i].used) << usages[i].table;
    EXPECT_EQ(snapshot.tables[i].capacity, usages[i].capacity) << usages[i].table;
  }
}

class BrokenRunTest : public testing::Test {
 protected:
  BrokenRunTest() {
    world_.Set(
        Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80)}, {At("10.180.1.11", 80)}));
    world_.Set(
        Port("shop/web", "http", Protocol::kTcp, {ClusterIp("172.30.0.11", 80)}, {At("10.180.1.12", 80)}));
  }
  run& HeadOfCart() { return world_.memory.backends[world_.Read().frontends.at(0).run_offset].run; }
  void ExpectCartChanging() {
    Snapshot snapshot = world_.Read();
    ASSERT_EQ(snapshot.frontends.size(), 2u);
    EXPECT_TRUE(snapshot.frontends[0].changing);
    EXPECT_TRUE(snapshot.frontends[0].backends.empty());
    EXPECT_FALSE(snapshot.frontends[1].changing);
    EXPECT_EQ(snapshot.frontends[1].backends.size(), 1u);
  }
  World world_;
};

TEST_F(BrokenRunTest, AHeadThatIsNoHead) {
  HeadOfCart().kind = RECORD_FREE;
  ExpectCartChanging();
}

TEST_F(BrokenRunTest, ARunOfAnotherService) {
  HeadOfCart().service_id += 1;
  ExpectCartChanging();
}

TEST_F(BrokenRunTest, ALengthPastTheTable) {
  HeadOfCart().length = 0xffffffff;
  HeadOfCart().draining = 0xffffffff - 2;
  ExpectCartChanging();
}

TEST_F(BrokenRunTest, ABackendThatIsNone) {
  world_.memory.backends[world_.Read().frontends.at(0).run_offset + 1].backend.kind = RECORD_FREE;
  ExpectCartChanging();
}

TEST(ReadTest, AServiceWithoutARowIsShownByItsId) {
  World world;
  world.Set(
      Port("shop/cart", "http", Protocol::kUdp, {ClusterIp("172.30.0.10", 80)}, {At("10.180.1.11", 80)}));
  uint32_t id = world.Read().frontends.at(0).service_id;
  ASSERT_TRUE(world.memory.services.Delete(id).has_value());
  Frontend frontend = world.Read().frontends.at(0);
  EXPECT_EQ(frontend.service.service.name, fmt::format("(service id {})", id));
  EXPECT_EQ(frontend.service.protocol, Protocol::kUdp);
}

TEST(ReadTest, ControlCodesInANameDoNotReachATerminal) {
  World world;
  world.Set(
      Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80)}, {At("10.180.1.11", 80)}));
  uint32_t id = world.Read().frontends.at(0).service_id;
  service row{};
  std::memcpy(row.name, "\x1b[2J", 4);
  row.proto = 6;
  row.family = 4;
  ASSERT_TRUE(world.memory.services.Update(id, row).has_value());
  EXPECT_EQ(world.Read().frontends.at(0).service.service.name, "?[2J");
}

// One service that moves between two sets of backends.
struct Moving {
  Moving() {
    for (int i = 1; i <= 40; ++i) {
      red.cluster.push_back(At(fmt::format("10.180.1.{}", i), 80));
      blue.cluster.push_back(At(fmt::format("10.180.2.{}", i), 80));
    }
    red.has_any = blue.has_any = true;
  }
  // All backends of one set, and all of that set.
  static bool IsWhole(const Frontend& frontend) {
    const std::vector<Backend>& backends = frontend.backends;
    return backends.size() == 40 &&
           std::all_of(backends.begin(), backends.end(), [&](const Backend& backend) {
             return backend.address.raw.bytes[14] == backends[0].address.raw.bytes[14];
           });
  }
  plan::ServicePort red = Port("shop/cart", "http", Protocol::kTcp, {ClusterIp("172.30.0.10", 80)}, {});
  plan::ServicePort blue = red;
};

TEST(ReadTest, BetweenAnyTwoStoresARowIsWhole) {
  World world;
  Moving service;
  world.Set(service.red);
  int reads = 0;
  std::set<uint8_t> seen;
  auto look = [&] {
    Snapshot snapshot = world.Read();
    ASSERT_EQ(snapshot.frontends.size(), 1u);
    EXPECT_FALSE(snapshot.frontends[0].changing);
    EXPECT_TRUE(Moving::IsWhole(snapshot.frontends[0]));
    seen.insert(snapshot.frontends[0].backends.at(0).address.raw.bytes[14]);
    ++reads;
  };
  world.writer.store().on_store = look;
  world.Set(service.blue);
  while (world.reclaimer.Poll()) {
  }
  look();
  EXPECT_GT(reads, 3);
  EXPECT_EQ(seen, (std::set<uint8_t>{1, 2}));
}

// The memory of a run is reused at once here, which no agent does: whatever a reader gets without a mark is
// one of the two sets all the same.
TEST(ReadTest, ARowWithoutAMarkIsNeverAMixture) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "reading what is being written is the subject here";
#endif
  World world;
  Moving service;
  world.Set(service.red);

  std::atomic<bool> stop = false;
  std::atomic<int> writes = 0;
  std::thread agent([&] {
    while (!stop) {
      world.Set(service.blue);
      world.Set(service.red);
      ++writes;
    }
  });
  int whole = 0;
  int mixed = 0;
  for (int reads = 0; reads < 200000 && (whole < 5000 || writes < 2000); ++reads) {
    auto snapshot = ReadTables(world.memory.View());
    if (!snapshot || snapshot->frontends.size() != 1 || snapshot->frontends[0].changing) continue;
    ++(Moving::IsWhole(snapshot->frontends[0]) ? whole : mixed);
  }
  stop = true;
  agent.join();
  EXPECT_EQ(mixed, 0);
  EXPECT_GT(whole, 0);
  EXPECT_GT(writes, 0);
}

}  // namespace
}  // namespace fairlead::ctl
