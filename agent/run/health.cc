// SPDX-License-Identifier: Apache-2.0
#include "agent/run/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace fairlead::run {

namespace {

using Wall = std::chrono::system_clock::time_point;

// RFC 3339 with nanoseconds in UTC, as Go's encoding/json; its zero time where there is none.
std::string Rfc3339(const std::optional<Wall>& time) {
  if (!time) return "0001-01-01T00:00:00Z";
  auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time->time_since_epoch()).count();
  std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, ns % 1'000'000'000);
}

}  // namespace

void Health::Queued(Family family) {
  std::lock_guard lock(mutex_);
  Side& side = Of(family);
  if (!side.oldest_queued) side.oldest_queued = clock_().steady;
}

void Health::Synced(Family family) {
  std::lock_guard lock(mutex_);
  Of(family) = {clock_().wall, std::nullopt};
}

void Health::SetNodeEligible(bool eligible) {
  std::lock_guard lock(mutex_);
  node_eligible_ = eligible;
}

bool Health::IsHealthy() const {
  std::lock_guard lock(mutex_);
  auto now = clock_().steady;
  return std::ranges::none_of(sides_, [&](const Side& side) { return IsLate(side, now); });
}

HttpResponse Health::Healthz() const {
  return Respond(true);
}
HttpResponse Health::Livez() const {
  return Respond(false);
}

HttpResponse Health::Respond(bool with_node) const {
  std::lock_guard lock(mutex_);
  Now now = clock_();
  bool healthy = true;
  std::optional<Wall> last_sync, late_sync;
  std::string status;
  for (size_t i = 0; i < sides_.size(); ++i) {
    const Side& side = sides_[i];
    if (!side.synced) continue;
    bool late = IsLate(side, now.steady);
    healthy = healthy && !late;
    last_sync = std::max(last_sync, side.synced);
    if (late && (!late_sync || *side.synced < *late_sync)) late_sync = side.synced;
    status += fmt::format(R"({}"{}":{{"lastUpdated":"{}","healthy":{}}})", status.empty() ? "" : ",",
                          FamilyName(i == 0 ? Family::kIpv4 : Family::kIpv6), Rfc3339(side.synced), !late);
  }
  bool good = healthy && (!with_node || node_eligible_);
  // kube-proxy shows "now" while all is well, since its oldest releases synced by the clock and monitors got
  // used to a recent time.
  std::optional<Wall> last_updated = good ? now.wall : late_sync ? late_sync : last_sync;
  HttpResponse response;
  response.status = good ? 200 : 503;
  response.content_type = "application/json";
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.body =
      fmt::format(R"({{"lastUpdated":"{}","currentTime":"{}",{}"healthy":{},"status":{{{}}}}})",
                  Rfc3339(last_updated), Rfc3339(now.wall),
                  with_node ? fmt::format(R"("nodeEligible":{},)", node_eligible_) : "", healthy, status);
  response.body += '\n';
  return response;
}

}  // namespace fairlead::run
