// SPDX-License-Identifier: Apache-2.0
// Whether this agent keeps up, and whether the node should be sent traffic: SEMANTICS of kube-proxy's
// /healthz and /livez (kubernetes pkg/proxy/healthcheck/proxy_health.go). State only; any thread may call.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>

#include "agent/base/address.h"
#include "agent/run/http_message.h"

namespace fairlead::run {

class Health {
 public:
  // Lateness goes by the monotonic time, so that a corrected clock makes nobody late; what is shown is wall
  // time.
  struct Now {
    std::chrono::steady_clock::time_point steady;
    std::chrono::system_clock::time_point wall;
  };
  using Clock = std::function<Now()>;
  static Now SystemNow() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

  // Late is a change that waits for twice the sync period.
  explicit Health(std::chrono::milliseconds sync_period, Clock clock = &SystemNow)
      : timeout_(2 * sync_period), clock_(std::move(clock)) {}

  // A change of this family waits to be applied. The oldest one counts until Synced.
  void Queued(Family family);
  // Everything known of this family is applied.
  void Synced(Family family);
  // This Node may take traffic: it is known, not being deleted and not tainted
  // ToBeDeletedByClusterAutoscaler. It is not eligible before the first call.
  void SetNodeEligible(bool eligible);

  // Keeps up; the node does not matter (for healthCheckNodePort).
  bool IsHealthy() const;

  HttpResponse Healthz() const;  // 200 if healthy and eligible, else 503
  HttpResponse Livez() const;    // 200 if healthy, else 503

 private:
  struct Side {
    std::optional<std::chrono::system_clock::time_point> synced;
    std::optional<std::chrono::steady_clock::time_point> oldest_queued;
  };
  // Never held against a family: that it has not completed a sync yet.
  bool IsLate(const Side& side, std::chrono::steady_clock::time_point now) const {
    return side.synced && side.oldest_queued && now - *side.oldest_queued >= timeout_;
  }
  Side& Of(Family family) { return sides_[family == Family::kIpv4 ? 0 : 1]; }
  HttpResponse Respond(bool with_node) const;

  const std::chrono::milliseconds timeout_;
  const Clock clock_;
  mutable std::mutex mutex_;
  std::array<Side, 2> sides_;  // IPv4, IPv6
  bool node_eligible_ = false;
};

}  // namespace fairlead::run
