// SPDX-License-Identifier: Apache-2.0
// A wrong object costs itself and a message that names it; everything beside it is served.
#include <gmock/gmock.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class BadInputTest : public NodeTest {
 protected:
  void ExpectCartServed(const char* backend = "10.180.1.11:8080") {
    EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), ElementsAre(Pair(backend, 4)));
  }
};

TEST_F(BadInputTest, InvalidObjectsAreNamedAndTheRestIsServed) {
  TheAgent().Put("bad.yaml", R"(apiVersion: v1
kind: Service
metadata: {name: too-high, namespace: bad}
spec: {clusterIP: 172.30.0.21, clusterIPs: [172.30.0.21], ports: [{name: p, protocol: TCP, port: 70000}]}
---
apiVersion: v1
kind: Service
metadata: {name: no-address, namespace: bad}
spec: {clusterIP: not-an-address, clusterIPs: [not-an-address], ports: [{name: p, protocol: TCP, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: wrong-type, namespace: bad}
spec: {clusterIP: 172.30.0.22, clusterIPs: [172.30.0.22], ports: "eighty"}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: wrong-family-1, namespace: bad, labels: {kubernetes.io/service-name: wrong-family}}
addressType: IPv4
ports: [{name: p, port: 8080, protocol: TCP}]
endpoints: [{addresses: ["fd00:10:180:1::11"]}]
)");
  Program(Cart(), CartSlice({"10.180.1.11"}));
  ExpectCartServed();
  const std::string log = TheAgent().Log();
  EXPECT_THAT(log, AllOf(HasSubstr("bad/too-high"), HasSubstr("70000")));
  EXPECT_THAT(log, AllOf(HasSubstr("bad/no-address"), HasSubstr("not-an-address")));
  EXPECT_THAT(log, HasSubstr("bad/wrong-type"));
  EXPECT_THAT(log, AllOf(HasSubstr("bad/wrong-family-1"), HasSubstr("fd00:10:180:1::11")));
}

TEST_F(BadInputTest, ABrokenFileKeepsItsLastGoodContents) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  TheAgent().Apply("cluster.json", "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [");
  ExpectCartServed();
  EXPECT_THAT(TheAgent().Log(), HasSubstr("cluster.json"));
  TheAgent().Apply("cluster.json", "\xff\xfe rubbish \x80");
  ExpectCartServed();
  Program(Cart(), CartSlice({"10.180.2.11"}));
  ExpectCartServed("10.180.2.11:8080");
}

TEST_F(BadInputTest, TwoServicesOnOneAddressAreReportedAndOneWinsForGood) {
  Service later("shop/later");
  later.ClusterIp("172.30.0.10").Port("tcp", 80, 8080).CreatedAt(2000);
  Slice later_slice("shop/later");
  later_slice.Port("tcp", 8080).Endpoint("10.180.2.11").On("n3");
  TheLab().Serve("10.180.2.11:8080");
  Program(later, later_slice, Cart().CreatedAt(1000), CartSlice({"10.180.1.11"}));
  ExpectCartServed();
  EXPECT_THAT(TheAgent().Log(), HasSubstr("shop/later"));
  Program(Cart().CreatedAt(1000), CartSlice({"10.180.1.11"}), later, later_slice);
  ExpectCartServed();
  // The loser takes the address over when the winner goes.
  Program(later, later_slice);
  ExpectCartServed("10.180.2.11:8080");
}

TEST_F(BadInputTest, SlicesOfNoServiceAndServicesWithoutPortsAreHarmless) {
  Service bare("shop/bare");
  bare.ClusterIp("172.30.0.23");
  Slice orphan("shop/nobody"), nameless("shop/nameless");
  orphan.Port("p", 8080).Endpoint("10.180.2.11").On("n3");
  nameless.OfNoService().Port("p", 8080).Endpoint("10.180.2.11").On("n3");
  Program(bare, orphan, nameless, Cart(), CartSlice({"10.180.1.11"}));
  ExpectCartServed();
}

TEST_F(BadInputTest, AnUnknownFlagEndsTheAgentWithOneMessageThatNamesIt) {
  const Finished done = TheAgent().RunTool("fairlead", {"--no-such-flag"});
  EXPECT_NE(done.status, 0);
  EXPECT_THAT(done.output, HasSubstr("--no-such-flag"));
}

}  // namespace
}  // namespace fairlead::test
