// SPDX-License-Identifier: Apache-2.0
#include "agent/run/health_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "agent/run/listener.h"
#include "test/support/objects.h"
#include "test/unit/run/http_client.h"

namespace fairlead::run {
namespace {

using test::Addr;
using test::Name;
using testing::HasSubstr;
using testing::StartsWith;

// One that nobody listens on at the moment.
uint16_t FreePort() {
  auto listener = OpenListener("127.0.0.1:0");
  return listener ? listener->port : 0;
}

size_t Threads() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Threads:")) return std::stoul(line.substr(8));
  }
  return 0;
}

class HealthChecksTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(checks_) << checks_.error().message;
    checks_->ListenOn(Family::kIpv4, {Addr("127.0.0.1")});
    checks_->ListenOn(Family::kIpv6, {Addr("::")});
  }
  void Have(const char* service, uint16_t port, size_t local_endpoints, Family family = Family::kIpv4) {
    checks_->Set(Name(service), {{Name(service), family, port, local_endpoints}});
    checks_->Open();
  }
  void HaveNone(const char* service) { checks_->Set(Name(service), {}); }
  static std::string Ask(uint16_t port) { return Get(port, "/"); }

  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
  Health health_{std::chrono::seconds(1), [this] { return Health::Now{now_, {}}; }};
  Result<HealthChecks> checks_ = HealthChecks::Create(health_);
  const uint16_t port_ = FreePort();
};

TEST_F(HealthChecksTest, ALocalEndpointIsAnswered200WithTheCountInHeaderAndBody) {
  Have("shop/cart", port_, 2);
  std::string answer = Ask(port_);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n"));
  EXPECT_EQ(Body(answer),
            "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"cart\"\n\t},\n"
            "\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}");
}

TEST_F(HealthChecksTest, EveryPathAndMethodIsAnswered) {
  Have("shop/cart", port_, 1);
  for (const char* method : {"GET", "POST", "DELETE", "OPTIONS"}) {
    EXPECT_THAT(Get(port_, "/any/path", method), StartsWith("HTTP/1.1 200 ")) << method;
  }
  EXPECT_EQ(Body(Get(port_, "/", "HEAD")), "");
}

TEST_F(HealthChecksTest, WithoutALocalEndpointTheAnswerIs503AtOnce) {
  Have("shop/cart", port_, 1);
  Have("shop/cart", port_, 0);
  std::string answer = Ask(port_);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Load-Balancing-Endpoint-Weight: 0\r\n"));
  EXPECT_THAT(answer, HasSubstr("\"localEndpoints\": 0"));
}

TEST_F(HealthChecksTest, AnAgentThatIsLateAnswers503WhateverTheNodeIs) {
  Have("shop/cart", port_, 1);
  health_.SetNodeEligible(false);
  health_.Synced(Family::kIpv4);
  EXPECT_THAT(Ask(port_), StartsWith("HTTP/1.1 200 "));
  health_.Queued(Family::kIpv4);
  now_ += std::chrono::seconds(5);
  std::string answer = Ask(port_);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("\"localEndpoints\": 1"));
  EXPECT_THAT(answer, HasSubstr("\"serviceProxyHealthy\": false"));
}

TEST_F(HealthChecksTest, APortThatMovesIsClosedAndOpensElsewhere) {
  const uint16_t other = FreePort();
  Have("shop/cart", port_, 1);
  Have("shop/cart", other, 1);
  EXPECT_EQ(Ask(port_), "");
  EXPECT_THAT(Ask(other), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HealthChecksTest, AServiceWithoutAPortClosesItsServer) {
  Have("shop/cart", port_, 1);
  HaveNone("shop/cart");
  EXPECT_EQ(Ask(port_), "");
}

TEST_F(HealthChecksTest, APortThatPassesFromOneServiceToAnotherIsOpenAtOnce) {
  Have("shop/web", port_, 1);
  checks_->Set(Name("shop/cart"), {{Name("shop/cart"), Family::kIpv4, port_, 3}});
  checks_->Set(Name("shop/web"), {});
  checks_->Open();
  EXPECT_THAT(Ask(port_), HasSubstr("\"localEndpoints\": 3"));
}

TEST_F(HealthChecksTest, ATakenPortIsTriedAgainAndHoldsUpNobody) {
  auto taken = OpenListener(Addr("127.0.0.1"), port_);
  ASSERT_TRUE(taken) << taken.error().message;
  const uint16_t other = FreePort();
  checks_->Set(Name("shop/cart"), {{Name("shop/cart"), Family::kIpv4, port_, 1}});
  Have("shop/web", other, 1);
  EXPECT_THAT(Ask(other), StartsWith("HTTP/1.1 200 "));
  taken->fd.Reset();
  checks_->Open();
  EXPECT_THAT(Ask(port_), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HealthChecksTest, ServersFollowTheAddresses) {
  Have("shop/cart", port_, 1);
  checks_->ListenOn(Family::kIpv4, {Addr("127.0.0.2")});
  checks_->Open();
  EXPECT_EQ(Ask(port_), "");
  checks_->ListenOn(Family::kIpv4, {Addr("0.0.0.0")});
  checks_->Open();
  EXPECT_THAT(Ask(port_), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HealthChecksTest, FamiliesAreServersOfTheirOwnOnOnePort) {
  checks_->ListenOn(Family::kIpv4, {Addr("0.0.0.0")});
  checks_->Set(Name("shop/cart"),
               {{Name("shop/cart"), Family::kIpv4, port_, 1}, {Name("shop/cart"), Family::kIpv6, port_, 0}});
  checks_->Open();
  EXPECT_THAT(Get(port_, "/", "GET", AF_INET), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Get(port_, "/", "GET", AF_INET6), StartsWith("HTTP/1.1 503 "));
}

TEST_F(HealthChecksTest, FiveHundredServersAreOneThread) {
  const size_t threads = Threads();
  std::vector<uint16_t> ports;
  {
    std::vector<Listener> held;  // so that each is another
    for (int i = 0; i < 500; ++i) {
      auto listener = OpenListener("127.0.0.1:0");
      ASSERT_TRUE(listener) << listener.error().message;
      ports.push_back(listener->port);
      held.push_back(*std::move(listener));
    }
  }
  for (size_t i = 0; i < ports.size(); ++i) Have(fmt::format("shop/s{}", i).c_str(), ports[i], i);
  EXPECT_EQ(Threads(), threads);
  for (size_t i : {size_t{1}, size_t{250}, size_t{499}}) {
    EXPECT_THAT(Ask(ports[i]), HasSubstr(fmt::format("\"localEndpoints\": {}", i)));
  }
}

}  // namespace
}  // namespace fairlead::run
