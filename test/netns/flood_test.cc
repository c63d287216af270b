// SPDX-License-Identifier: Apache-2.0
// A flow table far too small for what comes: those who are connected stay so.
#include <gmock/gmock.h>

#include <fstream>
#include <memory>
#include <set>

#include "test/support/load.h"
#include "test/support/node_fixture.h"
#include "test/support/syn_flood.h"

namespace fairlead::test {
namespace {

using testing::IsEmpty;

constexpr int kFlows = 2048;
constexpr int kSyns = 20000;
constexpr int kHeld = 200;
constexpr char kLb[] = "198.51.100.4:80", kSilentLb[] = "198.51.100.8:80";

class FloodTest : public NodeTest {
 protected:
  std::vector<std::string> Arguments() const override {
    const std::string config = Sandbox::Get().Scratch() + "/small.yaml";
    std::ofstream(config)
        << "apiVersion: fairlead.io/v1alpha1\nkind: FairleadConfiguration\ncapacities:\n  flows: " << kFlows
        << "\n";
    return {"--config", config};
  }
  // Streams that were answered; half of them by a backend here, half elsewhere.
  std::vector<std::unique_ptr<Client>> Hold(int count) {
    std::vector<std::unique_ptr<Client>> held;
    for (int i = 0; i < count; ++i) {
      auto client = std::make_unique<Client>(Outside(), Proto::kTcp, Family::kIpv4);
      if (client->Connect(At(kLb)) != 0 || client->Receive().end != End::kReached) continue;
      held.push_back(std::move(client));
    }
    return held;
  }
  static int Alive(const std::vector<std::unique_ptr<Client>>& held) {
    int alive = 0;
    for (const auto& client : held) alive += client->Ask("still there?").payload == "still there?";
    return alive;
  }
};

TEST_F(FloodTest, SynsThatNobodyAnswersPushOutNoConnectionAndKeepNobodyOut) {
  // The second Service's backend is an address that swallows what it gets.
  Service silent("shop/silent");
  silent.ClusterIp("172.30.0.11").Port("tcp", 80, 8080).LoadBalancerIp("198.51.100.8");
  Slice nobody("shop/silent");
  nobody.Port("tcp", 8080).Endpoint("10.180.3.11").On("n3");
  Program(Cart().LoadBalancerIp("198.51.100.4"), CartSlice({"10.180.0.11", "10.180.1.11"}), silent, nobody);
  const auto held = Hold(kHeld);
  ASSERT_EQ(held.size(), static_cast<size_t>(kHeld));
  SynFlood(Outside(), At(kSilentLb), kSyns);
  EXPECT_EQ(Alive(held), kHeld);
  Load load(Outside(), Proto::kTcp, At(kLb));
  ASSERT_TRUE(load.WaitForMore(50));
  EXPECT_THAT(load.Stop(), IsEmpty());
}

TEST_F(FloodTest, SynsThatAreAnsweredPushOutNoConnectionAndKeepNobodyOut) {
  Program(Cart().LoadBalancerIp("198.51.100.4"), CartSlice({"10.180.0.11", "10.180.1.11"}));
  const auto held = Hold(kHeld);
  ASSERT_EQ(held.size(), static_cast<size_t>(kHeld));
  SynFlood(Outside(), At(kLb), kSyns);
  EXPECT_EQ(Alive(held), kHeld);
  // The table may be full of half-open connections for as long as TCP keeps them.
  EXPECT_EQ(Hold(10).size(), 10u);
}

}  // namespace
}  // namespace fairlead::test
