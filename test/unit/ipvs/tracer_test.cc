// SPDX-License-Identifier: Apache-2.0
// The tracer by which ipvs mode takes part in the behaviour table: it tells right from wrong.
#include "test/support/ipvs/tracer.h"

#include <gtest/gtest.h>

#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::test {
namespace {

using plan::Masquerade::kOutside;

constexpr Traced kRejected{TraceEnd::kRejected, {}, 0, false};
constexpr Traced kDropped{TraceEnd::kDropped, {}, 0, false};
constexpr Traced kPassed{TraceEnd::kPassed, {}, 0, false};

Traced Reached(std::string_view backend, bool masqueraded) {
  return {TraceEnd::kReached, Addr(backend), 8080, masqueraded};
}

class IpvsTracerTest : public testing::Test {
 protected:
  IpvsTracerTest() {
    netfilter::NetfilterOptions options;
    options.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
    tracer_.emplace(options);
    node_.nodeport_addresses = {Addr("192.168.99.11")};
    node_.pod_cidrs = {Range("10.180.0.0/16")};
  }
  void Program(const plan::Change& port) { tracer_->Program({{port.key, port.now}}, node_); }
  std::set<Traced> From(std::string_view source, std::string_view to, uint16_t port, bool of_node = false) {
    TracePacket packet{.source = Addr(source), .destination = Addr(to)};
    packet.destination_port = port;
    packet.of_node = of_node;
    return tracer_->Trace(packet);
  }

  std::optional<IpvsTracer> tracer_;
  plan::NodePlan node_;
};

TEST_F(IpvsTracerTest, APodKeepsItsSourceAndOthersAndItselfDoNot) {
  Program(PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside).On({"10.180.0.11:8080 local"}));
  EXPECT_EQ(From("10.180.0.100", "172.30.0.10", 80), std::set{Reached("10.180.0.11", false)});
  EXPECT_EQ(From("10.180.0.11", "172.30.0.10", 80), std::set{Reached("10.180.0.11", true)});
  EXPECT_EQ(From("203.0.113.2", "172.30.0.10", 80), std::set{Reached("10.180.0.11", true)});
  EXPECT_EQ(From("192.168.99.11", "172.30.0.10", 80, true), std::set{Reached("10.180.0.11", true)});
}

TEST_F(IpvsTracerTest, APortOfAnAddressOfOursThatIsNoFrontendIsRefusedToEverybody) {
  Program(PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside).On({"10.180.1.11:8080"}));
  EXPECT_EQ(From("10.180.0.100", "172.30.0.10", 22), std::set{kRejected});
  EXPECT_EQ(From("192.168.99.11", "172.30.0.10", 22, true), std::set{kRejected});
  EXPECT_EQ(From("10.180.0.100", "172.30.0.99", 22), std::set{kPassed});
}

TEST_F(IpvsTracerTest, AServerWithoutBackendsRefuses) {
  Program(PortOf("shop/cart").NodePort(30001));
  EXPECT_EQ(From("203.0.113.2", "192.168.99.11", 30001), std::set{kRejected});
  EXPECT_EQ(From("203.0.113.2", "192.168.99.11", 30002), std::set{kPassed});
}

TEST_F(IpvsTracerTest, WithoutLocalBackendAnExternalLocalServiceIsDroppedForWhoComesFromOutside) {
  Program(PortOf("shop/cart").LoadBalancer("198.51.100.4", 80).ExternalLocal().On({"10.180.1.11:8080"}));
  EXPECT_EQ(From("203.0.113.2", "198.51.100.4", 80), std::set{kDropped});
  EXPECT_EQ(From("10.180.0.100", "198.51.100.4", 80), std::set{Reached("10.180.1.11", false)});
  EXPECT_EQ(From("192.168.99.11", "198.51.100.4", 80, true), std::set{Reached("10.180.1.11", true)});
}

TEST_F(IpvsTracerTest, WhoIsInNoSourceRangeIsDroppedTheNodeToo) {
  Program(PortOf("shop/cart")
              .LoadBalancer("198.51.100.4", 80)
              .On({"10.180.1.11:8080"})
              .Ranges({"203.0.113.0/25"}));
  EXPECT_EQ(From("203.0.113.2", "198.51.100.4", 80), std::set{Reached("10.180.1.11", true)});
  EXPECT_EQ(From("203.0.113.130", "198.51.100.4", 80), std::set{kDropped});
  EXPECT_EQ(From("192.168.99.11", "198.51.100.4", 80, true), std::set{kDropped});
}

}  // namespace
}  // namespace fairlead::test
