// SPDX-License-Identifier: Apache-2.0
// Flows of real sockets as fairleadctl and /metrics show them.
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::HasSubstr;

constexpr char kNodePort[] = "192.168.99.11:30001";

class ConntrackTest : public NodeTest {
 protected:
  std::string Ctl(std::vector<std::string> arguments) {
    const Finished done = TheAgent().Ctl(std::move(arguments));
    EXPECT_EQ(done.status, 0) << done.output;
    return done.output;
  }
  YAML::Node Json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    return YAML::Load(Ctl(std::move(arguments)));
  }
};

TEST_F(ConntrackTest, AConnectionFromOutsideIsOneLineWithItsServiceAndBackend) {
  Program(Cart(30001), CartSlice({"10.180.2.11"}));
  Ctl({"conntrack", "delete", "--all"});
  Client client(Outside(), Proto::kTcp, Family::kIpv4);
  ASSERT_EQ(client.Connect(At(kNodePort)), 0);
  ASSERT_EQ(client.Receive().backend, "10.180.2.11:8080");
  const YAML::Node flows = Json({"conntrack", "--proto", "tcp", "--dst", kNodePort});
  ASSERT_EQ(flows.size(), 1u);
  EXPECT_EQ(flows[0]["name"].Scalar(), "cart");
  EXPECT_EQ(flows[0]["backend"]["address"].Scalar(), "10.180.2.11");
  EXPECT_EQ(flows[0]["state"].Scalar(), "established");
  EXPECT_EQ(flows[0]["masqueraded"].Scalar(), "true");
  EXPECT_EQ(flows[0]["halves"].Scalar(), "both");
  EXPECT_LE(flows[0]["idle_s"].as<int>(), 5);
  EXPECT_GT(flows[0]["expires_s"].as<int>(), 80000);
  EXPECT_EQ(client.Ask("still there?").payload, "still there?") << "reading disturbs nothing";
}

TEST_F(ConntrackTest, ADeletedDatagramFlowBeginsAnew) {
  Program(Cart(30001), CartSlice({"10.180.2.11"}));
  Client client(Outside(), Proto::kUdp, Family::kIpv4);
  ASSERT_EQ(client.Connect(At(kNodePort)), 0);
  ASSERT_EQ(client.Ask("first").backend, "10.180.2.11:8080");
  EXPECT_THAT(Ctl({"conntrack", "delete", "--proto", "udp", "--service", "shop/cart"}),
              HasSubstr("flows deleted"));
  EXPECT_EQ(Json({"conntrack", "count", "--proto", "udp"})["flows"].Scalar(), "0");
  EXPECT_EQ(client.Ask("second").backend, "10.180.2.11:8080");
  EXPECT_EQ(Json({"conntrack", "count", "--proto", "udp"})["flows"].Scalar(), "1");
}

TEST_F(ConntrackTest, MetricsTellFlowsAndSourcePorts) {
  Program(Cart(30001), CartSlice({"10.180.2.11"}));
  const std::string metrics = TheAgent().Metrics("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("fairlead_conntrack_entries{state=\"established\"}"));
  EXPECT_THAT(metrics, HasSubstr("fairlead_conntrack_stuck_entries 0"));
  EXPECT_THAT(metrics, HasSubstr("fairlead_nat_tries_bucket"));
  const size_t at = metrics.find("\nfairlead_nat_source_ports ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GT(std::stoi(metrics.substr(metrics.find(' ', at) + 1)), 1024);
}

}  // namespace
}  // namespace fairlead::test
