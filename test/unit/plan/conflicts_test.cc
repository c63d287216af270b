// SPDX-License-Identifier: Apache-2.0
// Services that claim one address and port.
#include <gtest/gtest.h>

#include "test/support/world.h"

namespace fairlead::test {
namespace {

Service Web(std::string_view name, std::string_view cluster_ip) {
  return Service(name).ClusterIp(cluster_ip).Port("http", 80);
}

std::string FrontendsOf(const World& world, std::string_view service) {
  return Text(world.Port(std::string(service) + ":http/TCP IPv4").frontends);
}

TEST(Conflicts, TheOlderServiceHasTheAddressAndTheOtherKeepsItsRest) {
  World world;
  plan::Delta delta = world.Apply({Web("shop/a", "172.30.0.10").CreatedAt(200).ExternalIp("198.51.100.22"),
                                   Web("shop/b", "172.30.0.11").CreatedAt(100).ExternalIp("198.51.100.22")});
  EXPECT_EQ(FrontendsOf(world, "shop/a"), "ClusterIP 172.30.0.10:80");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.11:80, ExternalIP 198.51.100.22:80");
  EXPECT_EQ(Text(delta.problems),
            "Service shop/a: spec.externalIPs: 198.51.100.22:80/TCP is Service shop/b's already, which goes "
            "first by "
            "cluster IP, age or name; it is not served for this one");
}

TEST(Conflicts, OfEqualAgeTheLesserNamespaceAndNameWins) {
  World world;
  world.Apply({Web("b/a", "172.30.0.10").CreatedAt(100), Web("a/b", "172.30.0.10").CreatedAt(100)});
  EXPECT_EQ(FrontendsOf(world, "a/b"), "ClusterIP 172.30.0.10:80");
  EXPECT_EQ(FrontendsOf(world, "b/a"), "");
}

TEST(Conflicts, AnUnknownAgeComesLast) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10"), Web("shop/b", "172.30.0.10").CreatedAt(100)});
  EXPECT_EQ(FrontendsOf(world, "shop/a"), "");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.10:80");
}

TEST(Conflicts, AnOlderServiceThatComesLaterTakesTheAddressInTheSameCall) {
  World world;
  world.Apply({Web("shop/b", "172.30.0.10").CreatedAt(200)});
  plan::Delta delta = world.Apply({Web("shop/c", "172.30.0.10").CreatedAt(100)});
  EXPECT_EQ(Text(delta.changes), "+shop/b:http/TCP IPv4\n+shop/c:http/TCP IPv4");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "");
  EXPECT_EQ(FrontendsOf(world, "shop/c"), "ClusterIP 172.30.0.10:80");
}

TEST(Conflicts, WhenTheWinnerLetsGoTheNextInOrderTakesOverInTheSameCall) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10").CreatedAt(100), Web("shop/b", "172.30.0.10").CreatedAt(300),
               Web("shop/c", "172.30.0.10").CreatedAt(200)});
  plan::Delta delta = world.Remove(kube::Kind::kService, "shop/a");
  EXPECT_EQ(Text(delta.changes), "-shop/a:http/TCP IPv4\n+shop/c:http/TCP IPv4");
  EXPECT_EQ(FrontendsOf(world, "shop/c"), "ClusterIP 172.30.0.10:80");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "");

  delta = world.Apply({Web("shop/c", "172.30.0.99").CreatedAt(200)});
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.10:80") << "moving away lets go too";
}

TEST(Conflicts, AServiceMadeAnewIsYoung) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10").CreatedAt(100), Web("shop/b", "172.30.0.10").CreatedAt(200)});
  world.Apply({Web("shop/a", "172.30.0.10").CreatedAt(300)});
  EXPECT_EQ(FrontendsOf(world, "shop/a"), "");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.10:80");
}

TEST(Conflicts, AServiceThatStopsBeingProxiedLetsGo) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10"), Web("shop/b", "172.30.0.10")});
  world.Apply({Web("shop/a", "172.30.0.10").OtherProxy()});
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.10:80");
}

TEST(Conflicts, OneIsSaidOnceWhileItLastsAndAgainWhenItComesBack) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10")});
  Service b = Web("shop/b", "172.30.0.10").ExternalIp("198.51.100.22");
  EXPECT_NE(Text(world.Apply({b}).problems), "");
  EXPECT_EQ(Text(world.Apply({Service(b).Affinity()}).problems), "");
  EXPECT_EQ(Text(world.PlanAll().problems), "");

  EXPECT_EQ(Text(world.Remove(kube::Kind::kService, "shop/a").problems), "");
  EXPECT_NE(Text(world.Apply({Web("shop/a", "172.30.0.10")}).problems), "");
}

TEST(Conflicts, AnotherWinnerIsAnotherConflict) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10"), Web("shop/b", "172.30.0.10"), Web("shop/c", "172.30.0.10")});
  EXPECT_EQ(
      Text(world.Remove(kube::Kind::kService, "shop/a").problems),
      "Service shop/c: spec.clusterIPs: 172.30.0.10:80/TCP is Service shop/b's already, which goes first by "
      "cluster IP, age or name; it is not served for this one");
}

TEST(Conflicts, ANodePortIsClaimedLikeAnAddressAndSaidOnceForBothFamilies) {
  World world;
  plan::Delta delta =
      world.Apply({Web("shop/a", "172.30.0.10").ClusterIp("fd00:172:30::10").NodePort(30001),
                   Web("shop/b", "172.30.0.11").ClusterIp("fd00:172:30::11").NodePort(30001)});
  EXPECT_EQ(FrontendsOf(world, "shop/a"), "ClusterIP 172.30.0.10:80, NodePort 30001");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.11:80");
  EXPECT_EQ(Text(world.Port("shop/b:http/TCP IPv6").frontends), "ClusterIP [fd00:172:30::11]:80");
  EXPECT_EQ(Text(delta.problems),
            "Service shop/b: spec.ports[].nodePort: 30001/TCP is Service shop/a's already, which goes first "
            "by cluster IP, age or name; it is not served for this one");
}

TEST(Conflicts, AnExternalIpTakesNobodysClusterIpHoweverOldItIs) {
  World world;
  world.Apply({Web("evil/a", "172.30.0.11").CreatedAt(100).ExternalIp("172.30.0.10")});
  EXPECT_EQ(FrontendsOf(world, "evil/a"), "ClusterIP 172.30.0.11:80, ExternalIP 172.30.0.10:80");
  world.Apply({Web("shop/z", "172.30.0.10").CreatedAt(200)});
  EXPECT_EQ(FrontendsOf(world, "shop/z"), "ClusterIP 172.30.0.10:80");
  EXPECT_EQ(FrontendsOf(world, "evil/a"), "ClusterIP 172.30.0.11:80");
}

TEST(Conflicts, OneAddressIsSharedByPortAndByProtocol) {
  World world;
  plan::Delta delta = world.Apply(
      {Web("shop/a", "172.30.0.10").LoadBalancerIp("198.51.100.4"),
       Service("shop/b").ClusterIp("172.30.0.11").Port("https", 443).LoadBalancerIp("198.51.100.4"),
       Service("shop/c").ClusterIp("172.30.0.12").Port("quic", 80).Udp().LoadBalancerIp("198.51.100.4")});
  EXPECT_EQ(Text(delta.problems), "");
  EXPECT_EQ(Text(world.Port("shop/c:quic/UDP IPv4").frontends),
            "ClusterIP 172.30.0.12:80, LoadBalancer 198.51.100.4:80");
}

TEST(Conflicts, AnExternalIpThatIsANodeAddressDoesNotClaimANodePort) {
  World world;
  plan::Delta delta = world.Apply(
      {Web("shop/a", "172.30.0.10").NodePort(30001),
       Service("shop/b").ClusterIp("172.30.0.11").Port("http", 30001).ExternalIp("192.168.99.11")});
  EXPECT_EQ(Text(delta.problems), "");
  EXPECT_EQ(FrontendsOf(world, "shop/b"), "ClusterIP 172.30.0.11:30001, ExternalIP 192.168.99.11:30001");
}

TEST(Conflicts, ALosersPolicyIsThatOfItsSpecWhateverItWins) {
  World world;
  world.Apply({Web("shop/a", "172.30.0.10").NodePort(30001),
               Web("shop/b", "172.30.0.11").NodePort(30001).ExternalLocal()});
  EXPECT_TRUE(world.Port("shop/b:http/TCP IPv4").external_local);
}

TEST(Conflicts, ThousandsOfClaimantsOfOneAddressLeaveOneInOrder) {
  World world;
  std::vector<kube::Object> services;
  for (int i = 0; i < 3000; ++i) {
    services.push_back(Web("shop/s" + std::to_string(i), "172.30.0.10").CreatedAt(10'000 - i));
  }
  world.Apply(std::move(services));
  EXPECT_EQ(FrontendsOf(world, "shop/s2999"), "ClusterIP 172.30.0.10:80");
  world.Remove(kube::Kind::kService, "shop/s2999");
  EXPECT_EQ(FrontendsOf(world, "shop/s2998"), "ClusterIP 172.30.0.10:80");
  EXPECT_EQ(FrontendsOf(world, "shop/s0"), "");
}

}  // namespace
}  // namespace fairlead::test
