// SPDX-License-Identifier: Apache-2.0
// What a running agent tells: its HTTP endpoints, and fairleadctl from the pins alone.
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::HasSubstr;

class ObserveTest : public NodeTest {
 protected:
  Finished Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--bpffs-dir", Sandbox::Get().BpffsDir()});
    return TheAgent().RunTool("fairleadctl", arguments);
  }
};

TEST_F(ObserveTest, AnswersHealthAndModeAndMetrics) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const HttpAnswer health = TheAgent().Healthz("/healthz");
  EXPECT_EQ(health.status, 200) << health.body;
  EXPECT_EQ(health.headers.at("content-type"), "application/json");
  EXPECT_EQ(health.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(YAML::Load(health.body)["nodeEligible"].Scalar(), "true");
  EXPECT_EQ(TheAgent().Healthz("/livez").status, 200);
  EXPECT_EQ(TheAgent().Metrics("/proxyMode").body, "ebpf");
  const std::string metrics = TheAgent().Metrics("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("kubeproxy_sync_proxy_rules_duration_seconds_bucket"));
  EXPECT_THAT(metrics, HasSubstr("kubeproxy_network_programming_duration_seconds"));
}

TEST_F(ObserveTest, TheNodesRemovalShowsInHealthzAndNotInLivez) {
  TheAgent().Put("node.json", R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1",
    "deletionTimestamp": "2026-01-02T03:04:05Z"}, "status": {"addresses": []}})");
  TheAgent().Settle();
  EXPECT_EQ(TheAgent().Healthz("/healthz").status, 503);
  EXPECT_EQ(TheAgent().Healthz("/livez").status, 200);
}

TEST_F(ObserveTest, FairleadctlShowsServicesWithAndWithoutTheAgent) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  for (int round = 0; round < 2; ++round) {
    const Finished services = Ctl({"services"});
    EXPECT_EQ(services.status, 0) << services.output;
    EXPECT_THAT(services.output, HasSubstr("172.30.0.10"));
    EXPECT_THAT(Ctl({"backends"}).output, HasSubstr("10.180.1.11"));
    const Finished json = Ctl({"services", "-o", "json"});
    EXPECT_THAT(YAML::Load(json.output).size(), testing::Ge(1u)) << json.output;
    EXPECT_EQ(Ctl({"status"}).status, 0);
    TheAgent().Kill();
  }
}

}  // namespace
}  // namespace fairlead::test
