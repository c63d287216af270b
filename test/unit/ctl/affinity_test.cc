// SPDX-License-Identifier: Apache-2.0
// Remembered clients as fairleadctl shows them.
#include "agent/ctl/affinity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/ctl/conntrack_command.h"
#include "test/support/objects.h"

namespace fairlead::ctl {
namespace {

using testing::HasSubstr;

constexpr uint64_t kNow = 5'000'000'000'000;  // ns

AffinityRow Row(std::string_view client, uint32_t service_id, uint32_t backend_id, uint64_t idle_s) {
  AffinityRow row{};
  row.first.client = test::Addr(client).raw;
  row.first.service_id = service_id;
  row.first.kind = AFFINITY_ADDRESS;
  row.second.last_used_ns = kNow - idle_s * 1'000'000'000;
  row.second.backend_id = backend_id;
  return row;
}
AffinityRow NetnsRow(uint64_t cookie) {
  AffinityRow row = Row("0.0.0.0", 3, 7, 5);
  row.first.client = {};
  row.first.client.halves[1] = cookie;
  row.first.kind = AFFINITY_NETNS;
  return row;
}

class AffinityTest : public testing::Test {
 protected:
  AffinityTest() {
    Frontend cart;
    cart.service = {test::Name("shop/cart"), "http", kube::Protocol::kTcp, Family::kIpv4};
    cart.service_id = 3;
    cart.affinity_timeout_s = 600;
    Backend first;
    first.id = 7;
    first.address = test::Addr("10.180.1.11");
    first.port = 8080;
    cart.backends = {first};
    snapshot_.frontends = {cart};
  }
  std::vector<RememberedClient> Make(const std::vector<AffinityRow>& rows, FlowWords words = {}) {
    auto request = ParseFlowRequest(words);
    EXPECT_TRUE(request.has_value()) << request.error().message;
    return MakeClients(rows, {&snapshot_, kNow, 4102}, request->filter);
  }
  Snapshot snapshot_;
};

TEST_F(AffinityTest, AClientIsShownWithItsBackendAndItsTime) {
  auto clients = Make({Row("203.0.113.2", 3, 7, 10)});
  ASSERT_EQ(clients.size(), 1u);
  EXPECT_TRUE(clients[0].Holds());
  EXPECT_EQ("\n" + RenderClients(clients, Format::kTable), R"(
SERVICE         PROTOCOL  CLIENT       BACKEND           IDLE  EXPIRES IN
shop/cart:http  TCP       203.0.113.2  10.180.1.11:8080   10s       9m50s
)");
}

TEST_F(AffinityTest, WhatNoLongerBindsAClientSaysSo) {
  EXPECT_FALSE(Make({Row("203.0.113.2", 3, 7, 600)})[0].Holds()) << "its time is over";
  EXPECT_FALSE(Make({Row("203.0.113.2", 3, 8, 10)})[0].Holds()) << "its backend is gone";
  EXPECT_FALSE(Make({Row("203.0.113.2", 9, 7, 10)})[0].Holds()) << "its Service is gone";
  EXPECT_THAT(RenderClients(Make({Row("203.0.113.2", 3, 8, 10)}), Format::kTable), HasSubstr("gone (id 8)"));
}

TEST_F(AffinityTest, APodIsShownByItsNetworkNamespaceAndTheNodeByName) {
  EXPECT_EQ(Make({NetnsRow(4102)})[0].client, "this node");
  EXPECT_EQ(Make({NetnsRow(77)})[0].client, "netns 77");
}

TEST_F(AffinityTest, FiltersNarrowTheList) {
  const std::vector<AffinityRow> rows = {Row("203.0.113.2", 3, 7, 10), Row("203.0.113.3", 9, 1, 10),
                                         NetnsRow(77)};
  EXPECT_EQ(Make(rows).size(), 3u);
  EXPECT_EQ(Make(rows, {.src = "203.0.113.0/24"}).size(), 2u);
  EXPECT_EQ(Make(rows, {.service = "shop/cart"}).size(), 2u);
  EXPECT_EQ(Make(rows, {.backend = "10.180.1.11"}).size(), 2u);
  EXPECT_EQ(Make(rows, {.backend = "10.180.1.11:9"}).size(), 0u);
}

TEST_F(AffinityTest, JsonAndCount) {
  auto clients = Make({Row("203.0.113.2", 3, 7, 10), Row("203.0.113.3", 3, 8, 10)});
  const std::string json = RenderClients(clients, Format::kJson);
  EXPECT_THAT(json, HasSubstr("\"client\": \"203.0.113.2\""));
  EXPECT_THAT(json, HasSubstr("\"holds\": true"));
  EXPECT_EQ("\n" + RenderClientCount(clients, Format::kTable), R"(
CLIENTS  COUNT
hold         1
over         1
)");
}

}  // namespace
}  // namespace fairlead::ctl
