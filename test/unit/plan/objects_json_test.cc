// SPDX-License-Identifier: Apache-2.0
// The builders' JSON says what the builders' structs say: the agent's decoder reads one as the other.
#include <gtest/gtest.h>

#include "agent/kube/decode.h"
#include "test/support/objects.h"

namespace fairlead::test {
namespace {

template <typename Builder>
void ExpectRoundTrip(kube::Kind kind, const Builder& builder) {
  auto decoded = kube::DecodeObject(kind, builder.ToJson());
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message << "\n" << builder.ToJson();
  EXPECT_TRUE(*decoded == kube::Object(builder)) << builder.ToJson();
}

TEST(ObjectsJson, AServiceReadsAsItWasBuilt) {
  ExpectRoundTrip(kube::Kind::kService, Service("shop/cart").ClusterIp("172.30.0.10").Port("", 80, 8080));
  ExpectRoundTrip(kube::Kind::kService, Service("shop/headless").Port("http", 80));
  ExpectRoundTrip(kube::Kind::kService, Service("shop/cart")
                                            .ClusterIp("172.30.0.10")
                                            .ClusterIp("fd00:172:30::10")
                                            .Port("http", 80, 8080)
                                            .NodePort(30001)
                                            .Port("dns", 53)
                                            .Udp()
                                            .Port("sig", 9)
                                            .Sctp()
                                            .ExternalIp("198.51.100.22")
                                            .LoadBalancerIp("198.51.100.4")
                                            .SourceRange("203.0.113.0/25")
                                            .InternalLocal()
                                            .ExternalLocal()
                                            .Affinity(60)
                                            .HealthCheckNodePort(32001)
                                            .Setting("weights", "10.180.1.11=3 \"quoted\\\"")
                                            .CreatedAt(1'700'000'000)
                                            .OtherProxy());
}

TEST(ObjectsJson, ASliceReadsAsItWasBuilt) {
  ExpectRoundTrip(kube::Kind::kEndpointSlice, Slice("shop/cart"));
  ExpectRoundTrip(kube::Kind::kEndpointSlice,
                  Slice("shop/cart").Port("", 8080).Endpoint("fd00:10:180:1::11"));
  ExpectRoundTrip(kube::Kind::kEndpointSlice, Slice("shop/cart")
                                                  .Named("cart-x")
                                                  .Port("http", 8080)
                                                  .Port("dns", 53)
                                                  .Udp()
                                                  .Endpoint("10.180.1.11")
                                                  .On("n1")
                                                  .Zone("a")
                                                  .NodeHint("n1")
                                                  .Endpoint("10.180.2.11")
                                                  .Ready(false)
                                                  .Serving(false)
                                                  .Terminating()
                                                  .TriggerTime(1'700'000'000'123'456'789)
                                                  .Headless());
}

TEST(ObjectsJson, ANodeReadsAsItWasBuilt) {
  ExpectRoundTrip(kube::Kind::kNode, NodeObject("n1"));
  ExpectRoundTrip(kube::Kind::kNode, NodeObject("n1")
                                         .Zone("a")
                                         .InternalIp("192.168.99.11")
                                         .InternalIp("fd00:192:168:99::11")
                                         .PodCidr("10.180.1.0/24"));
}

}  // namespace
}  // namespace fairlead::test
