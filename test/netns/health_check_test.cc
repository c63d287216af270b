// SPDX-License-Identifier: Apache-2.0
// Health check node ports as a load balancer outside the cluster asks them.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::HasSubstr;

constexpr uint16_t kPort = 32001;

class HealthCheckTest : public NodeTest {
 protected:
  static Service Balanced(uint16_t port = kPort) {
    return Cart(30001).LoadBalancerIp("198.51.100.4").ExternalLocal().HealthCheckNodePort(port);
  }
  HttpAnswer Ask(std::string_view address, uint16_t port = kPort) {
    return HttpGet(TheLab().Out(), At(fmt::format("{}:{}", address, port)), "/any");
  }
  // The servers follow the tables within moments: asks until the answer is as expected, 3 s at the longest.
  // Status 0: nobody listens.
  HttpAnswer Expect(int status, std::string_view address = "192.168.99.11", uint16_t port = kPort) {
    HttpAnswer answer = Ask(address, port);
    for (int tries = 0; answer.status != status && tries < 60; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      answer = Ask(address, port);
    }
    EXPECT_EQ(answer.status, status) << address << ":" << port << " " << answer.body;
    return answer;
  }
};

TEST_F(HealthCheckTest, ANodeWithEndpointsAnswers200WithTheirNumber) {
  Program(Balanced(), CartSlice({"10.180.0.11", "10.180.0.12", "10.180.1.11"}));
  HttpAnswer answer = Expect(200);
  EXPECT_EQ(answer.headers["x-load-balancing-endpoint-weight"], "2") << "two ports of one pod count once";
  EXPECT_EQ(answer.headers["content-type"], "application/json");
  EXPECT_THAT(answer.body, HasSubstr("\"localEndpoints\": 2"));
  EXPECT_THAT(answer.body, HasSubstr("\"name\": \"cart\""));
}

TEST_F(HealthCheckTest, ANodeWithoutReadyEndpointsAnswers503UntilItHasOne) {
  Program(Balanced(), CartSlice({"10.180.1.11"}));
  Expect(503);
  Program(Balanced(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  Expect(200);
  Program(Balanced(), CartSlice({"10.180.0.11"}).Ready(false).Terminating());
  Expect(503);
}

TEST_F(HealthCheckTest, BothFamiliesAreAskedOnTheirOwn) {
  Program(Balanced(), CartSlice({"10.180.0.11"}), CartSlice({"fd00:10:180:1::11"}));
  Expect(200);
  Expect(503, "[fd00:192:168:99::11]");
}

TEST_F(HealthCheckTest, APortThatMovesIsClosedAndOpensElsewhere) {
  Program(Balanced(), CartSlice({"10.180.0.11"}));
  Expect(200);
  Program(Balanced(32002), CartSlice({"10.180.0.11"}));
  Expect(200, "192.168.99.11", 32002);
  Expect(0);
}

TEST_F(HealthCheckTest, PolicyClusterAndDeletionCloseThePort) {
  Program(Balanced(), CartSlice({"10.180.0.11"}));
  Expect(200);
  Program(Cart(30001).LoadBalancerIp("198.51.100.4").HealthCheckNodePort(kPort), CartSlice({"10.180.0.11"}));
  Expect(0);
  Program(Balanced(), CartSlice({"10.180.0.11"}));
  Expect(200);
  Program(CartSlice({"10.180.0.11"}));
  Expect(0);
}

TEST_F(HealthCheckTest, ANodeThatIsBeingDrainedGoesOnAnsweringByItsEndpoints) {
  Program(Balanced(), CartSlice({"10.180.0.11"}));
  Expect(200);
  TheAgent().Remove("node.json");
  TheAgent().Settle();
  Expect(200);
}

TEST_F(HealthCheckTest, ATakenPortIsSaidAndTakesNothingElseAlong) {
  EchoServer blocker;
  blocker.Serve(Host(), At("192.168.99.11:32001"));
  Program(Balanced(), CartSlice({"10.180.0.11"}));
  EXPECT_EQ(Spread(Pod(), Proto::kTcp, kVip, 3), (std::map<std::string, int>{{"10.180.0.11:8080", 3}}));
  EXPECT_THAT(TheAgent().Log(),
              HasSubstr("Service shop/cart: spec.healthCheckNodePort: listen on 0.0.0.0:32001"));
}

class HealthCheckRangeTest : public HealthCheckTest {
  std::vector<std::string> Arguments() const override { return {"--nodeport-addresses", "192.168.99.0/24"}; }
};

TEST_F(HealthCheckRangeTest, OnlyAddressesThatAnswerNodePortsAreListenedOn) {
  Host().Ip("address add 192.168.100.11/24 dev eth0\n");
  TheLab().Out().Ip("route add 192.168.100.11 via 192.168.99.11\n");
  Program(Balanced(), CartSlice({"10.180.0.11"}));
  Expect(200);
  Expect(0, "192.168.100.11");
}

}  // namespace
}  // namespace fairlead::test
