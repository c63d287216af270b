// SPDX-License-Identifier: Apache-2.0
// Connections from outside while the agent dies, comes back and puts its programs in the place of those that
// run: none is cut, none is lost.
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "test/support/load.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kNodePort[] = "192.168.99.11:30001", kNodePort6[] = "[fd00:192:168:99::11]:30001";

class UpgradeTest : public NodeTest {
 protected:
  // Streams from outside to a backend here and to one elsewhere, of both families.
  std::vector<std::unique_ptr<Client>> HoldOnEveryBackend() {
    std::vector<std::unique_ptr<Client>> held;
    for (const char* to : {kNodePort, kNodePort6}) {
      std::set<std::string> reached;
      for (int i = 0; i < 60 && reached.size() < 2; ++i) {
        auto client = std::make_unique<Client>(Outside(), Proto::kTcp, At(to).address.GetFamily());
        if (client->Connect(At(to)) != 0) continue;
        if (reached.insert(client->Receive().backend).second) held.push_back(std::move(client));
      }
    }
    EXPECT_EQ(held.size(), 4u);
    return held;
  }
  static void ExpectAlive(const std::vector<std::unique_ptr<Client>>& held) {
    for (const auto& client : held) {
      const Outcome outcome = client->Ask("still there?");
      EXPECT_EQ(outcome.payload, "still there?") << outcome.ToString();
    }
  }
  void ProgramBoth() {
    Program(Cart(30001), CartSlice({"10.180.0.11", "10.180.1.11"}),
            CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  }
};

TEST_F(UpgradeTest, AKilledAgentAndItsReturnCostNoConnectionAndNoRequest) {
  ProgramBoth();
  const auto held = HoldOnEveryBackend();
  Client datagrams(Outside(), Proto::kUdp, Family::kIpv4);
  ASSERT_EQ(datagrams.Connect(At(kNodePort)), 0);
  const std::string backend = datagrams.Ask("first").backend;
  Load tcp(Outside(), Proto::kTcp, At(kNodePort));
  Load udp(Outside(), Proto::kUdp, At(kNodePort6), 1);
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(tcp.WaitForMore(50));
    TheAgent().Kill();
    ASSERT_TRUE(tcp.WaitForMore(50) && udp.WaitForMore(50));
    ExpectAlive(held);
    TheAgent().Start();  // replaces every program
    ExpectAlive(held);
    EXPECT_EQ(datagrams.Ask("next").backend, backend);
  }
  EXPECT_THAT(tcp.Stop(), IsEmpty());
  EXPECT_THAT(udp.Stop(), IsEmpty());
}

TEST_F(UpgradeTest, ATerminatedAgentLeavesThePacketPathStanding) {
  ProgramBoth();
  const auto held = HoldOnEveryBackend();
  EXPECT_EQ(TheAgent().Stop(), 0);
  ExpectAlive(held);
  EXPECT_EQ(Connect(Outside(), Proto::kTcp, At(kNodePort)).end, End::kReached);
  TheAgent().Start();
  ExpectAlive(held);
}

TEST_F(UpgradeTest, ATableThatIsMissingIsNamedAndTheOthersAreNotTakenOver) {
  ProgramBoth();
  EXPECT_EQ(TheAgent().Stop(), 0);
  ASSERT_TRUE(std::filesystem::remove(Sandbox::Get().BpffsDir() + "/maps/rings"));
  TheAgent().Start();
  EXPECT_THAT(TheAgent().Log(), HasSubstr("tables without rings found"));
  EXPECT_EQ(Connect(Outside(), Proto::kTcp, At(kNodePort)).end, End::kReached);
}

TEST_F(UpgradeTest, AStreamOfAServiceThatWentWhileTheAgentWasAwayGoesOn) {
  ProgramBoth();
  const auto held = HoldOnEveryBackend();
  TheAgent().Kill();
  TheAgent().Remove("cluster.json");
  TheAgent().Start();
  ExpectAlive(held);
  EXPECT_NE(Connect(Outside(), Proto::kTcp, At(kNodePort), {.timeout = milliseconds(150)}).end,
            End::kReached);
}

TEST_F(UpgradeTest, AfterACleanupPacketsAreLeftAloneAndANewAgentServesThem) {
  Program(Cart().LoadBalancerIp("198.51.100.4"), CartSlice({"10.180.0.11"}));
  ASSERT_EQ(Connect(Outside(), Proto::kTcp, At("198.51.100.4:80")).end, End::kReached);
  EXPECT_EQ(TheAgent().Stop(), 0);
  const Finished cleaned = TheAgent().Cleanup();
  EXPECT_EQ(cleaned.status, 0) << cleaned.output;
  Capture capture(Host());
  EXPECT_EQ(Connect(Outside(), Proto::kTcp, At("198.51.100.4:80"), {.timeout = milliseconds(150)}).end,
            End::kSilent);
  EXPECT_GE(capture.TakeSent(Proto::kTcp, At("198.51.100.4:80")), 1);
  TheAgent().Start();
  EXPECT_EQ(Connect(Outside(), Proto::kTcp, At("198.51.100.4:80")).backend, "10.180.0.11:8080");
}

// --- the first collection

class BriefTimeoutTest : public UpgradeTest {
 protected:
  static constexpr std::chrono::seconds kTimeout{3};
  std::vector<std::string> Arguments() const override {
    return {"--conntrack-tcp-timeout-established", fmt::format("{}s", kTimeout.count())};
  }
  size_t FlowsOf(uint16_t client_port) {
    const Finished listed =
        TheAgent().Ctl({"conntrack", "--src", fmt::format("{}:{}", kClient, client_port), "-o", "json"});
    return YAML::Load(listed.output).size();
  }
  static constexpr char kClient[] = "203.0.113.2";
};

// A fresh agent has not seen which flows are in use, and goes by what the programs wrote.
TEST_F(BriefTimeoutTest, TheFirstCollectionTakesWhatWasIdleForItsTimeAndNothingElse) {
  ProgramBoth();
  Client idle(Outside(), Proto::kTcp, Family::kIpv4, {.bind_port = 23456});
  ASSERT_EQ(idle.Connect(At(kNodePort)), 0);
  ASSERT_EQ(idle.Ask("established").end, End::kReached);
  ASSERT_EQ(FlowsOf(23456), 1u);
  const auto held = HoldOnEveryBackend();
  const auto idled = std::chrono::steady_clock::now() + kTimeout + std::chrono::seconds(2);
  TheAgent().Kill();
  while (std::chrono::steady_clock::now() < idled) {
    ExpectAlive(held);
    std::this_thread::sleep_for(milliseconds(200));
  }
  ASSERT_EQ(FlowsOf(23456), 1u) << "nobody has collected yet";
  TheAgent().Start();
  // A pass over the whole table takes a second, or some on a busy machine.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (FlowsOf(23456) != 0 && std::chrono::steady_clock::now() < patience) {
    ExpectAlive(held);
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_EQ(FlowsOf(23456), 0u);
  ExpectAlive(held);
}

}  // namespace
}  // namespace fairlead::test
