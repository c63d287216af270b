// SPDX-License-Identifier: Apache-2.0
// Endpoints come and go under load, as in a rolling update, and no request fails.
#include <gmock/gmock.h>

#include <thread>

#include "test/support/load.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::IsEmpty;

class ChurnTest : public NodeTest {};

TEST_F(ChurnTest, ARollingUpdateFailsNoRequest) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  Load tcp(Pod(), Proto::kTcp, At(kVip));
  Load udp(Pod(), Proto::kUdp, At(kVip));
  const std::vector<std::string> pods{"10.180.0.11", "10.180.1.11", "10.180.0.12",
                                      "10.180.1.12", "10.180.2.11", "10.180.2.12"};
  for (size_t turn = 0; turn < 24; ++turn) {
    const std::string& old_pod = pods[turn % pods.size()];
    const std::string& stays = pods[(turn + 1) % pods.size()];
    const std::string& new_pod = pods[(turn + 2) % pods.size()];
    Slice slice = CartSlice({stays, new_pod, old_pod});  // the new one is ready before the old one goes
    Program(Cart(), slice);
    Program(Cart(), slice.Ready(false).Terminating());
    Program(Cart(), CartSlice({stays, new_pod}));
    ASSERT_TRUE(tcp.WaitForMore(20) && udp.WaitForMore(20));  // what was on its way to the old pod has ended
    TheLab().Servers().Stop(At(old_pod + ":8080"));
  }
  EXPECT_THAT(tcp.Stop(), IsEmpty());
  EXPECT_THAT(udp.Stop(), IsEmpty());
  EXPECT_GT(tcp.Requests(), 500);
  EXPECT_GT(udp.Requests(), 500);
}

TEST_F(ChurnTest, ManyServicesComeAndGoBesideABusyOne) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  Load load(Pod(), Proto::kTcp, At(kVip));
  std::vector<std::string> many;
  for (int i = 0; i < 500; ++i) {
    const std::string name = fmt::format("bulk/s{}", i);
    many.push_back(Service(name)
                       .ClusterIp(fmt::format("172.30.{}.{}", 1 + i / 250, 1 + i % 250))
                       .Port("p", 80)
                       .ToJson());
    many.push_back(Slice(name).Port("p", 8080).Endpoint("10.180.0.11").On("n1").ToJson());
  }
  for (int round = 0; round < 5; ++round) {
    TheAgent().Apply("bulk.json", Manifest(many));
    EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("172.30.2.250:80")).end, End::kReached);
    TheAgent().Remove("bulk.json");
    TheAgent().Settle();
  }
  ASSERT_TRUE(load.WaitForMore(20));
  EXPECT_THAT(load.Stop(), IsEmpty());
}

TEST_F(ChurnTest, TerminatingEndpointsServeWhenTheyAreTheLast) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  Load load(Pod(), Proto::kTcp, At(kVip));
  ASSERT_TRUE(load.WaitForMore(20));
  Program(Cart(), CartSlice({"10.180.0.11"}).Ready(false).Terminating());
  ASSERT_TRUE(load.WaitForMore(50));
  EXPECT_THAT(load.Stop(), IsEmpty());
}

}  // namespace
}  // namespace fairlead::test
