// SPDX-License-Identifier: Apache-2.0
// What the agent's two listeners serve, at kube-proxy's paths.
#pragma once

#include <functional>
#include <string>

#include "agent/run/health.h"
#include "agent/run/http_server.h"
#include "agent/run/metrics.h"

namespace fairlead::run {

// The datapath in use and why that one.
struct ModeChoice {
  std::string mode;    // "ebpf"
  std::string reason;  // one line
};

// --healthz-bind-address: /healthz, /livez; answers are counted. Both arguments outlive the server.
HttpRoutes HealthPages(const Health& health, Metrics& metrics);

// --metrics-bind-address: /metrics; /healthz, "ok" as long as this process answers; /proxyMode, the mode's
// name alone as kube-proxy's tests read it, the reason in the header X-Fairlead-Reason; /configz,
// `config_json` as it is. `metrics` outlives the server; `mode` is called at each request.
HttpRoutes MetricsPages(const Metrics& metrics, std::function<ModeChoice()> mode, std::string config_json);

}  // namespace fairlead::run
