// SPDX-License-Identifier: Apache-2.0
// ipvs mode on a kernel that has IPVS: real sockets, the real agent.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "agent/datapath/ipvs/kernel.h"
#include "agent/plan/settings.h"
#include "test/support/node_fixture.h"
#include "test/support/process.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Key;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr char kLocal[] = "10.180.0.11:8080";
constexpr char kRemote[] = "10.180.1.11:8080";

constexpr std::chrono::seconds kPatience{180};  // an emulated processor, and others on it

const ipvs::ServerKey kCart{Addr("172.30.0.10"), 80, plan::Protocol::kTcp};

bool KernelHasIpvs() {
  return ipvs::NetlinkKernel::Open().has_value();
}

// Waits for something that takes a sweep or a pass to come about.
template <typename Condition>
bool Soon(Condition condition, milliseconds patience = kPatience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(100));
  }
  return true;
}

// One lab and one agent for all tests: a start takes long in an emulated machine.
class IpvsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!KernelHasIpvs() || WhyNoLab()) return;
    lab_.emplace();
    agent_.emplace(*lab_,
                   std::vector<std::string>{"--proxy-mode", "ipvs", "--cluster-cidr",
                                            "10.180.0.0/16,fd00:10:180::/46", "--ipvs-sync-period", "5s"});
    Launch();
  }
  static void TearDownTestSuite() {
    agent_.reset();
    lab_.reset();
  }
  void SetUp() override {
    if (!KernelHasIpvs()) GTEST_SKIP() << "this kernel has no IPVS";
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    if (!agent_->Running()) Launch();  // a test that failed may have left none
  }
  void TearDown() override {
    if (HasFailure() && agent_) std::cout << agent_->Log();
  }

  static void Launch() {
    agent_->Launch();
    agent_->Settle(kPatience);
  }
  template <typename... Objects>
  void Program(const Objects&... objects) {
    agent_->Put("cluster.json", Manifest({objects.ToJson()...}));
    agent_->Settle(kPatience);
  }
  // The backends of shop/cart, ready, with their servers.
  static Slice CartSlice(std::initializer_list<std::string_view> addresses) {
    Slice slice("shop/cart");
    slice.Port("tcp", 8080).Port("udp", 8080).Udp();
    for (const auto address : addresses) {
      slice.Endpoint(address).On(
          address.find(":1::") != std::string_view::npos || address.starts_with("10.180.1.") ? "n2" : "n1");
      lab_->Serve(AddressPort(Addr(address), 8080));
    }
    if (addresses.begin()->find(':') != std::string_view::npos) slice.Named("cart-6");
    return slice;
  }
  // Connections by the backend they reached; anything else by its end.
  static std::map<std::string, int> Spread(const Namespace& from, Proto proto, std::string_view to,
                                           int connections) {
    std::map<std::string, int> spread;
    for (int i = 0; i < connections; ++i) {
      const Outcome outcome = Connect(from, proto, At(to));
      ++spread[outcome.end == End::kReached ? outcome.backend : std::string(Word(outcome.end))];
    }
    return spread;
  }
  static Agent& TheAgent() { return *agent_; }
  static const Namespace& Pod() { return lab_->N1().Pod("10.180.0.100"); }
  static const Namespace& Host() { return lab_->N1().Net(); }
  static const Namespace& Outside() { return lab_->Out(); }

  ipvs::PresentServers Servers() {
    const NetnsScope inside(Host());
    return (*ipvs::NetlinkKernel::Open())->List().value();
  }
  std::string OnNode(const std::string& command) {
    const NetnsScope inside(Host());
    return test::Run({"sh", "-c", command}).output;
  }
  // --cleanup, for as long as it takes.
  Finished CleanUp() {
    const NetnsScope inside(Host());
    return test::Run({Sandbox::BuildDir() + "/fairlead", "--cleanup", "--bpffs-dir",
                      Sandbox::Get().BpffsDir(), "--cgroup", Sandbox::Get().Cgroup()});
  }
  // Weights of a server's backends: "10.180.0.11:8080=1 10.180.1.11:8080=0".
  std::string Weights(const ipvs::ServerKey& key) {
    std::string text;
    const auto servers = Servers();
    const auto it = servers.find(key);
    if (it == servers.end()) return "none";
    for (const auto& [backend, weight] : it->second.backends)
      text += fmt::format("{}{}={}", text.empty() ? "" : " ", backend.ToString(), weight);
    return text;
  }

 private:
  static inline std::optional<Lab> lab_;
  static inline std::optional<Agent> agent_;
};

TEST_F(IpvsTest, EverybodyReachesEveryBackend) {
  Program(Cart(30080), CartSlice({"10.180.0.11", "10.180.1.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  const auto both = UnorderedElementsAre(Key(kLocal), Key(kRemote));
  const auto both6 = UnorderedElementsAre(Key("[fd00:10:180::11]:8080"), Key("[fd00:10:180:1::11]:8080"));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    for (const Namespace* from : {&Pod(), &Host(), &Outside()}) {
      EXPECT_THAT(Spread(*from, proto, kVip, 4), both);
      EXPECT_THAT(Spread(*from, proto, kVip6, 4), both6);
      EXPECT_THAT(Spread(*from, proto, "192.168.99.11:30080", 4), both);
    }
  }
}

TEST_F(IpvsTest, AHostsOwnServerIsNotReachedThroughAnAddressOfOurs) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const Outcome healthz = Connect(Outside(), Proto::kTcp, At("172.30.0.10:10256"));
  EXPECT_EQ(healthz.end, End::kRefused) << healthz.ToString();
  EXPECT_EQ(Connect(Host(), Proto::kTcp, At("172.30.0.10:10256")).end, End::kRefused);
  EXPECT_EQ(Connect(Pod(), Proto::kUdp, At("172.30.0.10:81")).end, End::kRefused);
  EXPECT_TRUE(Ping(Outside(), "172.30.0.10"));
}

TEST_F(IpvsTest, AConnectionStaysOnABackendThatLeavesAndNewOnesGoElsewhere) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  auto client = std::make_unique<Client>(Outside(), Proto::kTcp, Family::kIpv4);
  ASSERT_EQ(client->Connect(At(kVip)), 0);
  ASSERT_EQ(client->Receive().backend, kLocal);
  Program(Cart(), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(Weights(kCart), "10.180.0.11:8080=0 10.180.1.11:8080=1");
  EXPECT_EQ(client->Ask("still there?").payload, "still there?");
  EXPECT_THAT(Spread(Outside(), Proto::kTcp, kVip, 4), UnorderedElementsAre(Key(kRemote)));
}

// A Service that nobody has connected to yet: a connection that has ended keeps its backend for TIME_WAIT.
TEST_F(IpvsTest, ABackendWithoutConnectionsGoesAtOnce) {
  const ipvs::ServerKey stock{Addr("172.30.0.12"), 80, plan::Protocol::kTcp};
  const auto service = Service("shop/stock").ClusterIp("172.30.0.12").Port("tcp", 80, 8080);
  const auto slice = Slice("shop/stock").Port("tcp", 8080).Endpoint("10.180.1.11").On("n2");
  Program(service, Slice(slice).Endpoint("10.180.1.12").On("n2"));
  EXPECT_EQ(Weights(stock), "10.180.1.11:8080=1 10.180.1.12:8080=1");
  Program(service, slice);
  EXPECT_TRUE(Soon([&] { return Weights(stock) == "10.180.1.11:8080=1"; })) << Weights(stock);
}

TEST_F(IpvsTest, AClientPortUsedAgainLeavesABackendThatIsGoneWithoutLosingItsFirstPacket) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  const ClientOptions options{.bind = Addr("10.180.0.100"), .bind_port = 40123};
  ASSERT_EQ(Connect(Pod(), Proto::kTcp, At(kVip), options).backend, kLocal);
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const Outcome again = Connect(Pod(), Proto::kTcp, At(kVip), options);
  EXPECT_EQ(again.backend, kRemote) << again.ToString();
  EXPECT_LT(again.took, milliseconds(900)) << "the first SYN was lost";
}

TEST_F(IpvsTest, ADeletedServiceKeepsItsConnectionsAndRefusesNewOnesUntilTheyEnd) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  auto client = std::make_unique<Client>(Pod(), Proto::kTcp, Family::kIpv4);
  ASSERT_EQ(client->Connect(At(kVip)), 0);
  ASSERT_EQ(client->Receive().backend, kRemote);
  Program(Service("shop/other").ClusterIp("172.30.0.11").Port("tcp", 80, 8080));
  EXPECT_EQ(client->Ask("still there?").payload, "still there?");
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kRefused);
  client.reset();
  EXPECT_TRUE(Soon([&] { return Weights(kCart) == "none"; })) << Weights(kCart);
  EXPECT_TRUE(Soon([&] {
    return OnNode("ip -br address show dev fairlead-ipvs").find("172.30.0.10/") == std::string::npos;
  }));
}

TEST_F(IpvsTest, AUdpSocketMovesOffABackendThatIsGone) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  Client client(Pod(), Proto::kUdp, Family::kIpv4, {.timeout = milliseconds(500)});
  ASSERT_EQ(client.Connect(At(kVip)), 0);
  ASSERT_EQ(client.Ask("hello").backend, kLocal);
  Program(Cart(), CartSlice({"10.180.1.11"}));
  EXPECT_TRUE(Soon([&] { return client.Ask("hello").backend == kRemote; }));
}

TEST_F(IpvsTest, AnAgentThatStartsAgainLeavesConnectionsAndWritesNothingNew) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  auto client = std::make_unique<Client>(Outside(), Proto::kTcp, Family::kIpv4);
  ASSERT_EQ(client->Connect(At(kVip)), 0);
  ASSERT_EQ(client->Receive().end, End::kReached);
  TheAgent().Kill();
  EXPECT_EQ(client->Ask("no agent").payload, "no agent");
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kReached);
  Launch();
  EXPECT_EQ(client->Ask("another agent").payload, "another agent");
  EXPECT_EQ(Weights(kCart), "10.180.0.11:8080=1 10.180.1.11:8080=1");
}

TEST_F(IpvsTest, CleanUpLeavesTheNodeAsItWasAndOthersServersInPlace) {
  constexpr char kLook[] =
      "ip -br address; ip -br link; ipset save; iptables-save | grep -v '^#'; ip6tables-save | grep -v '^#'";
  TheAgent().Stop();
  CleanUp();
  const std::string before = OnNode(kLook);
  const ipvs::ServerKey by_hand{Addr("192.168.99.11"), 31234, plan::Protocol::kTcp};
  {
    const NetnsScope inside(Host());
    const std::vector<ipvs::Step> steps = {
        {.verb = ipvs::Verb::kAddServer, .server = by_hand, .options = {.scheduler = "wlc"}, .backend = {}}};
    ASSERT_EQ((*ipvs::NetlinkKernel::Open())->Do(steps).value(), std::vector{0});
  }
  Launch();
  Program(Cart(30080), CartSlice({"10.180.1.11"}));
  EXPECT_GT(Servers().size(), 1u);
  TheAgent().Stop();
  const Finished cleaned = CleanUp();
  EXPECT_EQ(cleaned.status, 0) << cleaned.output;
  EXPECT_EQ(OnNode(kLook), before);
  const auto left = Servers();
  EXPECT_EQ(left.size(), 1u);
  EXPECT_TRUE(left.contains(by_hand));
  Launch();
}

TEST_F(IpvsTest, WhatSomebodyTakesAwayIsPutRight) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  OnNode(
      "ip link delete fairlead-ipvs; iptables -t nat -F FAIRLEAD-IPVS-SERVICES; "
      "iptables -D INPUT -j FAIRLEAD-IPVS-INPUT; ipset flush FAIRLEAD-FRONTENDS; ipset flush "
      "FAIRLEAD-MASQ-OUTSIDE");
  EXPECT_TRUE(Soon([&] { return Connect(Outside(), Proto::kTcp, At(kVip)).backend == kRemote; }));
  EXPECT_THAT(TheAgent().Log(), HasSubstr("put right"));
}

TEST_F(IpvsTest, EveryScheduler) {
  for (const std::string_view scheduler : plan::kIpvsSchedulers) {
    Program(Cart().Setting("ipvs-scheduler", scheduler), CartSlice({"10.180.1.11"}));
    EXPECT_EQ(Servers().at(kCart).options.scheduler, scheduler);
    const Outcome outcome = Connect(Pod(), Proto::kTcp, At(kVip));
    EXPECT_EQ(outcome.backend, kRemote) << scheduler << ": " << outcome.ToString();
  }
}

TEST_F(IpvsTest, AffinityIsToTheBackendAndForgetsOneThatIsGone) {
  Program(Cart().Affinity(60), CartSlice({"10.180.0.11", "10.180.1.11"}));
  const auto spread = Spread(Pod(), Proto::kTcp, kVip, 6);
  ASSERT_EQ(spread.size(), 1u);
  const bool local = spread.contains(kLocal);
  Program(Cart().Affinity(60), CartSlice({local ? "10.180.1.11" : "10.180.0.11"}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), UnorderedElementsAre(Key(local ? kRemote : kLocal)));
}

}  // namespace
}  // namespace fairlead::test
