// SPDX-License-Identifier: Apache-2.0
#include "agent/run/health.h"

#include <gmock/gmock.h>

namespace fairlead::run {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

constexpr Family kV4 = Family::kIpv4;
constexpr Family kV6 = Family::kIpv6;

// A clock that stands at 2026-01-02T03:04:05Z until it is moved; the sync period is 10 s, so late is 20 s.
class HealthTest : public testing::Test {
 protected:
  void Pass(std::chrono::milliseconds time) {
    now_.steady += time;
    now_.wall += time;
  }
  Health::Now now_{std::chrono::steady_clock::time_point(1000s),
                   std::chrono::system_clock::time_point(1767323045s)};
  Health health_{10s, [this] { return now_; }};
};

TEST_F(HealthTest, IsHealthyWhileStarting) {
  health_.Queued(kV4);
  Pass(1h);
  EXPECT_TRUE(health_.IsHealthy());
  EXPECT_EQ(health_.Livez().status, 200);
}

TEST_F(HealthTest, IsHealthyForEverWithNothingQueued) {
  health_.Synced(kV4);
  Pass(24h);
  EXPECT_TRUE(health_.IsHealthy());
}

TEST_F(HealthTest, IsLateFromTwiceTheSyncPeriodOn) {
  health_.Synced(kV4);
  health_.Queued(kV4);
  Pass(19999ms);
  EXPECT_TRUE(health_.IsHealthy());
  Pass(1ms);
  EXPECT_FALSE(health_.IsHealthy());
}

TEST_F(HealthTest, TheOldestQueuedChangeCounts) {
  health_.Synced(kV4);
  health_.Queued(kV4);
  Pass(15s);
  health_.Queued(kV4);
  Pass(5s);
  EXPECT_FALSE(health_.IsHealthy());
}

TEST_F(HealthTest, ASyncClearsWhatWasQueued) {
  health_.Synced(kV4);
  health_.Queued(kV4);
  Pass(30s);
  EXPECT_FALSE(health_.IsHealthy());
  health_.Synced(kV4);
  EXPECT_TRUE(health_.IsHealthy());
  health_.Queued(kV4);
  Pass(19s);
  EXPECT_TRUE(health_.IsHealthy());
}

TEST_F(HealthTest, OneLateFamilyMakesTheWholeUnhealthy) {
  for (Family late : {kV4, kV6}) {
    health_.Synced(kV4);
    health_.Synced(kV6);
    health_.Queued(late);
    Pass(20s);
    EXPECT_FALSE(health_.IsHealthy()) << FamilyName(late);
    health_.Synced(late);
    EXPECT_TRUE(health_.IsHealthy()) << FamilyName(late);
  }
}

TEST_F(HealthTest, AFamilyThatNeverSyncedIsNotHeldAgainstTheOther) {
  health_.Synced(kV4);
  health_.Queued(kV6);
  Pass(1h);
  EXPECT_TRUE(health_.IsHealthy());
}

TEST_F(HealthTest, ACorrectedWallClockMakesNobodyLate) {
  health_.Synced(kV4);
  health_.Queued(kV4);
  now_.wall += 24h;
  EXPECT_TRUE(health_.IsHealthy());
}

TEST_F(HealthTest, OnlyHealthzLooksAtTheNode) {
  health_.Synced(kV4);
  struct Case {
    bool eligible;
    int healthz, livez;
  };
  EXPECT_EQ(health_.Healthz().status, 503) << "the Node is not known yet";
  for (const Case& c : {Case{true, 200, 200}, Case{false, 503, 200}, Case{true, 200, 200}}) {
    health_.SetNodeEligible(c.eligible);
    EXPECT_EQ(health_.Healthz().status, c.healthz);
    EXPECT_EQ(health_.Livez().status, c.livez);
    EXPECT_TRUE(health_.IsHealthy());
  }
}

TEST_F(HealthTest, BothSayJsonThatIsNotToBeGuessed) {
  for (const HttpResponse& response : {health_.Healthz(), health_.Livez()}) {
    EXPECT_EQ(response.content_type, "application/json");
    EXPECT_THAT(response.headers, Contains(Pair("X-Content-Type-Options", "nosniff")));
  }
}

TEST_F(HealthTest, WhileAllIsWellLastUpdatedIsNow) {
  health_.SetNodeEligible(true);
  health_.Synced(kV4);
  Pass(61s);
  EXPECT_EQ(
      health_.Healthz().body,
      R"({"lastUpdated":"2026-01-02T03:05:06.000000000Z","currentTime":"2026-01-02T03:05:06.000000000Z",)"
      R"("nodeEligible":true,"healthy":true,)"
      R"("status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.000000000Z","healthy":true}}})"
      "\n");
}

TEST_F(HealthTest, LivezHasNoWordOfTheNode) {
  EXPECT_THAT(health_.Livez().body, Not(HasSubstr("nodeEligible")));
}

TEST_F(HealthTest, OfALateFamilyTheTimeOfItsLastSyncIsShown) {
  health_.Synced(kV4);
  Pass(5s);
  health_.Synced(kV6);
  health_.Queued(kV4);
  Pass(20s);
  EXPECT_EQ(
      health_.Livez().body,
      R"({"lastUpdated":"2026-01-02T03:04:05.000000000Z","currentTime":"2026-01-02T03:04:30.000000000Z",)"
      R"("healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.000000000Z","healthy":false},)"
      R"("IPv6":{"lastUpdated":"2026-01-02T03:04:10.000000000Z","healthy":true}}})"
      "\n");
}

TEST_F(HealthTest, WithOnlyTheNodeIneligibleItStaysHealthyAndShowsTheLastSync) {
  health_.Synced(kV4);
  Pass(1s);
  health_.Synced(kV6);
  Pass(1s);
  HttpResponse healthz = health_.Healthz();
  EXPECT_EQ(healthz.status, 503);
  EXPECT_THAT(healthz.body, HasSubstr(R"({"lastUpdated":"2026-01-02T03:04:06.000000000Z",)"));
  EXPECT_THAT(healthz.body, HasSubstr(R"("nodeEligible":false,"healthy":true,)"));
}

TEST_F(HealthTest, BeforeAnySyncTheTimeIsGosZero) {
  EXPECT_THAT(health_.Healthz().body, HasSubstr(R"("lastUpdated":"0001-01-01T00:00:00Z")"));
  EXPECT_THAT(health_.Healthz().body, HasSubstr(R"("status":{}})"));
}

}  // namespace
}  // namespace fairlead::run
