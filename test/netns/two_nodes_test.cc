// SPDX-License-Identifier: Apache-2.0
// Two nodes that both run the agent: what one decides fits what the other does.
#include <gmock/gmock.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::SizeIs;

constexpr char kLb[] = "198.51.100.4:80", kLb6[] = "[fd00:198:51:100::4]:80";

class TwoNodesTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    if (IsSkipped()) return;
    second_.emplace(TheLab(), TheLab().N2());
    second_->Start();
  }
  void TearDown() override {
    second_.reset();
    NodeTest::TearDown();
  }
  template <typename... Objects>
  void ProgramBoth(const Objects&... objects) {
    Program(objects...);
    second_->Apply("cluster.json", Manifest({objects.ToJson()...}));
  }

  std::optional<Agent> second_;
};

// A router in front may send packets of one client to either node.
TEST_F(TwoNodesTest, MaglevChoosesTheSameBackendForAClientOnBoth) {
  ProgramBoth(Cart()
                  .LoadBalancerIp("198.51.100.4")
                  .LoadBalancerIp("fd00:198:51:100::4")
                  .Setting("algorithm", "maglev"),
              CartSlice({"10.180.0.11", "10.180.0.12", "10.180.1.11", "10.180.2.11", "10.180.2.12"}),
              CartSlice({"fd00:10:180::11", "fd00:10:180:1::11", "fd00:10:180:2::11"}));
  for (const char* to : {kLb, kLb6}) {
    std::set<std::string> chosen;
    for (uint16_t port = 20100; port < 20130; ++port) {
      Client client(Outside(), Proto::kUdp, At(to).address.GetFamily(), {.bind_port = port});
      ASSERT_EQ(client.Connect(At(to)), 0);
      TheLab().SendServicesTo(TheLab().N1());
      const Outcome first = client.Ask("first");
      TheLab().SendServicesTo(TheLab().N2());
      const Outcome second = client.Ask("second");
      ASSERT_NE(first.backend, "") << first.ToString();
      EXPECT_EQ(second.backend, first.backend) << "port " << port << ": " << second.ToString();
      chosen.insert(first.backend);
    }
    EXPECT_GE(chosen.size(), 3u) << to;
  }
}

TEST_F(TwoNodesTest, ANodePortOfOneReachesABackendOnTheOther) {
  ProgramBoth(Cart(30001), CartSlice({"10.180.1.11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp})
    EXPECT_EQ(Connect(Outside(), proto, At("192.168.99.11:30001")).backend, "10.180.1.11:8080");
  ProgramBoth(Cart(30001), CartSlice({"10.180.0.11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp})
    EXPECT_EQ(Connect(Outside(), proto, At("192.168.99.12:30001")).backend, "10.180.0.11:8080");
}

// The backend's node gets the packet in a tunnel, sees the client's own address, and answers it directly.
TEST_F(TwoNodesTest, DsrKeepsTheClientsAddressAndAnswersAsTheService) {
  ProgramBoth(
      Cart().LoadBalancerIp("198.51.100.4").LoadBalancerIp("fd00:198:51:100::4").Setting("forwarding", "dsr"),
      CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    const Outcome four = Connect(Outside(), proto, At(kLb));
    EXPECT_EQ(four.source.address.ToString(), "203.0.113.2") << four.ToString();
    EXPECT_EQ(four.backend, "10.180.1.11:8080");
    const Outcome six = Connect(Outside(), proto, At(kLb6));
    EXPECT_EQ(six.source.address.ToString(), "fd00:203:0:113::2") << six.ToString();
  }
}

TEST_F(TwoNodesTest, DsrMovesAMegabyteBothWays) {
  ProgramBoth(
      Cart().LoadBalancerIp("198.51.100.4").LoadBalancerIp("fd00:198:51:100::4").Setting("forwarding", "dsr"),
      CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  for (const char* to : {kLb, kLb6}) {
    Client client(Outside(), Proto::kTcp, At(to).address.GetFamily());
    ASSERT_EQ(client.Connect(At(to)), 0) << to;
    ASSERT_EQ(client.Receive().end, End::kReached) << to;
    const auto wrong = client.Exchange(1 << 20);
    EXPECT_FALSE(wrong) << to << ": " << *wrong;
  }
}

}  // namespace
}  // namespace fairlead::test
