// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/world.h"

namespace fairlead::test {
namespace {

using plan::HealthCheck;
using plan::HealthChecksOf;
using plan::NoLocalEndpoints;
using testing::ElementsAre;
using testing::IsEmpty;

Service Balanced() {
  return Service("shop/cart")
      .ClusterIp("172.30.0.10")
      .Port("http", 80)
      .LoadBalancerIp("198.51.100.4")
      .ExternalLocal()
      .HealthCheckNodePort(32001);
}

HealthCheck Ipv4(size_t endpoints) {
  return {Name("shop/cart"), Family::kIpv4, 32001, endpoints};
}

TEST(HealthChecks, LocalReadyAddressesCountOnceOverAllPorts) {
  World world;
  world.Apply({Balanced().Port("admin", 81), Slice("shop/cart")
                                                 .Port("http", 8080)
                                                 .Port("admin", 8081)
                                                 .Endpoint("10.180.1.11")
                                                 .On("n1")
                                                 .Endpoint("10.180.1.12")
                                                 .On("n1")
                                                 .Endpoint("10.180.2.11")
                                                 .On("n2")});
  EXPECT_THAT(HealthChecksOf(world.planner.plan(), Name("shop/cart")), ElementsAre(Ipv4(2)));
}

TEST(HealthChecks, TerminatingEndpointsDoNotCountThoughTheyServe) {
  World world;
  world.Apply(
      {Balanced(),
       Slice("shop/cart").Port("http", 8080).Endpoint("10.180.1.11").On("n1").Ready(false).Terminating()});
  EXPECT_EQ(Text(world.Port("shop/cart:http/TCP IPv4").local), "10.180.1.11:8080");
  EXPECT_THAT(HealthChecksOf(world.planner.plan(), Name("shop/cart")), ElementsAre(Ipv4(0)));
}

TEST(HealthChecks, ReadyIsBelievedAlsoOfATerminatingEndpoint) {
  World world;
  world.Apply(
      {Balanced(), Slice("shop/cart").Port("http", 8080).Endpoint("10.180.1.11").On("n1").Terminating()});
  EXPECT_THAT(HealthChecksOf(world.planner.plan(), Name("shop/cart")), ElementsAre(Ipv4(1)));
}

TEST(HealthChecks, EachFamilyCountsForItself) {
  World world;
  world.Apply({Balanced().ClusterIp("fd00:172:30::10"),
               Slice("shop/cart").Port("http", 8080).Endpoint("10.180.1.11").On("n1")});
  EXPECT_THAT(HealthChecksOf(world.planner.plan(), Name("shop/cart")),
              ElementsAre(Ipv4(1), HealthCheck{Name("shop/cart"), Family::kIpv6, 32001, 0}));
}

TEST(HealthChecks, AServiceWithoutOneHasNone) {
  World world;
  world.Apply({Balanced().ExternalLocal(false), Service("shop/caru").ClusterIp("172.30.0.11").Port("", 1)});
  EXPECT_THAT(HealthChecksOf(world.planner.plan(), Name("shop/cart")), IsEmpty());
  EXPECT_THAT(HealthChecksOf(world.planner.plan(), Name("shop/never")), IsEmpty());
}

TEST(NoLocal, CountsLocalPoliciesWithEndpointsElsewhereOnlyAndFollowsChanges) {
  World world;
  auto counts = [&] { return world.planner.no_local_endpoints(Family::kIpv4); };
  Slice elsewhere = Slice("shop/cart").Port("http", 8080).Endpoint("10.180.2.11").On("n2");

  world.Apply({Balanced().InternalLocal()});
  EXPECT_EQ(counts(), (NoLocalEndpoints{0, 0})) << "no endpoint at all is not counted";
  world.Apply({elsewhere});
  EXPECT_EQ(counts(), (NoLocalEndpoints{1, 1}));
  world.Apply({Balanced()});
  EXPECT_EQ(counts(), (NoLocalEndpoints{0, 1}));
  world.Apply({Slice(elsewhere).Endpoint("10.180.1.11").On("n1")});
  EXPECT_EQ(counts(), (NoLocalEndpoints{0, 0}));
  world.Apply({elsewhere, Balanced().InternalLocal().ExternalLocal(false)});
  EXPECT_EQ(counts(), (NoLocalEndpoints{1, 0}));
  EXPECT_EQ(world.planner.no_local_endpoints(Family::kIpv6), (NoLocalEndpoints{0, 0}));
  world.Remove(kube::Kind::kService, "shop/cart");
  EXPECT_EQ(counts(), (NoLocalEndpoints{0, 0}));
}

}  // namespace
}  // namespace fairlead::test
