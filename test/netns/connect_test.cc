// SPDX-License-Identifier: Apache-2.0
// A connection to a cluster IP reaches one of the Service's backends, translated before a packet exists.
#include <gmock/gmock.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Ge;
using testing::Le;
using testing::Pair;

class ConnectTest : public NodeTest {};

// 600 draws among 3: 200 each with a standard deviation of 11.5; bounds at six of them.
const auto kAThird = AllOf(Ge(131), Le(269));

TEST_F(ConnectTest, SpreadsEvenlyOverItsBackends) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11", "fd00:10:180:2::11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    EXPECT_THAT(Spread(Pod(), proto, kVip, 600),
                ElementsAre(Pair("10.180.0.11:8080", kAThird), Pair("10.180.1.11:8080", kAThird),
                            Pair("10.180.2.11:8080", kAThird)));
    EXPECT_THAT(Spread(Pod(), proto, kVip6, 600), ElementsAre(Pair("[fd00:10:180:1::11]:8080", kAThird),
                                                              Pair("[fd00:10:180:2::11]:8080", kAThird),
                                                              Pair("[fd00:10:180::11]:8080", kAThird)));
  }
}

TEST_F(ConnectTest, SpreadsOverItsBackendsByMaglev) {
  Program(Cart().Setting("algorithm", "maglev"), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  // Maglev's own imbalance, up to a few per cent, comes on top of the draw's.
  const auto about_a_third = AllOf(Ge(110), Le(290));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 600),
              ElementsAre(Pair("10.180.0.11:8080", about_a_third), Pair("10.180.1.11:8080", about_a_third),
                          Pair("10.180.2.11:8080", about_a_third)));
}

TEST_F(ConnectTest, KeepsTheClientsSourceAndShowsTheServiceAsPeer) {
  Program(Cart(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    const Outcome four = Connect(Pod(), proto, At(kVip));
    EXPECT_EQ(four.backend, "10.180.1.11:8080") << four.ToString();
    EXPECT_EQ(four.source.address, Addr("10.180.0.100"));
    EXPECT_EQ(four.peer, At(kVip));
    const Outcome six = Connect(Pod(), proto, At(kVip6));
    EXPECT_EQ(six.backend, "[fd00:10:180:1::11]:8080") << six.ToString();
    EXPECT_EQ(six.source.address, Addr("fd00:10:180::100"));
    EXPECT_EQ(six.peer, At(kVip6));
  }
}

TEST_F(ConnectTest, LetsNoPacketLeaveForTheServiceAddress) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    Capture capture(Pod());
    EXPECT_EQ(Connect(Pod(), proto, At(kVip)).end, End::kReached);
    EXPECT_EQ(capture.Take(proto, At(kVip)), 0);
    EXPECT_EQ(Connect(Pod(), proto, At(kVip)).end, End::kReached);
    EXPECT_GE(capture.Take(proto, At("10.180.1.11:8080")), 1);
  }
}

TEST_F(ConnectTest, ServesIpv4ThroughAnIpv6Socket) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    const Outcome outcome = Connect(Pod(), proto, At(kVip), {.mapped = true});
    EXPECT_EQ(outcome.backend, "10.180.1.11:8080") << outcome.ToString();
    EXPECT_EQ(outcome.peer, At(kVip));
  }
}

TEST_F(ConnectTest, WorksForTheNodeItself) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    const Outcome outcome = Connect(Host(), proto, At(kVip));
    EXPECT_EQ(outcome.end, End::kReached) << outcome.ToString();
    EXPECT_EQ(outcome.source.address, Addr("192.168.99.11"));
  }
}

TEST_F(ConnectTest, APodReachesItselfThroughItsService) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  const Namespace& self = TheLab().N1().Pod("10.180.0.11");
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    const Outcome outcome = Connect(self, proto, At(kVip));
    EXPECT_EQ(outcome.backend, "10.180.0.11:8080") << outcome.ToString();
    EXPECT_EQ(outcome.source.address, Addr("10.180.0.11"));
  }
}

TEST_F(ConnectTest, ReachesBackendsInTheNetworkOfAHost) {
  Program(Cart(), CartSlice({"192.168.99.11", "192.168.99.12"}));
  for (const Namespace* client : {&Pod(), &Host()}) {
    EXPECT_THAT(Spread(*client, Proto::kTcp, kVip, 60),
                ElementsAre(Pair("192.168.99.11:8080", Ge(1)), Pair("192.168.99.12:8080", Ge(1))));
  }
}

TEST_F(ConnectTest, KeepsEveryPortOfAServiceApart) {
  Service shop("shop/cart");
  shop.ClusterIp("172.30.0.10").Port("web", 80).Port("admin", 81);
  Slice web("shop/cart"), admin("shop/cart");
  web.Port("web", 8080).Endpoint("10.180.0.11").On("n1");
  admin.Named("cart-admin").Port("admin", 9090).Endpoint("10.180.1.11").On("n2");
  TheLab().Serve("10.180.0.11:8080");
  TheLab().Serve("10.180.1.11:9090");
  Program(shop, web, admin);
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, "172.30.0.10:80", 8), ElementsAre(Pair("10.180.0.11:8080", 8)));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, "172.30.0.10:81", 8), ElementsAre(Pair("10.180.1.11:9090", 8)));
}

TEST_F(ConnectTest, LeavesOtherTrafficAlone) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  TheLab().Serve("203.0.113.2:80");
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("10.180.1.11:8080")).backend, "10.180.1.11:8080");
  EXPECT_EQ(Connect(Pod(), Proto::kUdp, At("203.0.113.2:80")).backend, "203.0.113.2:80");
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("192.168.99.12:81")).end, End::kRefused);
}

TEST_F(ConnectTest, FollowsTheClusterBothWays) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 8), ElementsAre(Pair("10.180.0.11:8080", 8)));
  Program(Cart(), CartSlice({"10.180.1.11", "10.180.2.11"}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 60),
              ElementsAre(Pair("10.180.1.11:8080", Ge(1)), Pair("10.180.2.11:8080", Ge(1))));
  Program(Cart());
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), ElementsAre(Pair("refused", 4)));
  Program(Cart(), CartSlice({"10.180.0.11"}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 8), ElementsAre(Pair("10.180.0.11:8080", 8)));
}

TEST_F(ConnectTest, AnEstablishedConnectionOutlivesItsBackendsRemoval) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  Client client(Pod(), Proto::kTcp, Family::kIpv4);
  ASSERT_EQ(client.Connect(At(kVip)), 0);
  ASSERT_EQ(client.Receive().backend, "10.180.1.11:8080");
  Program(Cart(), CartSlice({"10.180.2.11"}));
  EXPECT_EQ(client.Ask("still there?").payload, "still there?");
  Program(Cart());
  EXPECT_EQ(client.Ask("and now?").payload, "and now?");
  Program();
  EXPECT_FALSE(client.EndedWithin(std::chrono::milliseconds(1200)));
  EXPECT_EQ(client.Ask("for ever?").payload, "for ever?");
}

}  // namespace
}  // namespace fairlead::test
