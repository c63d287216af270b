// SPDX-License-Identifier: Apache-2.0
#include "agent/run/pages.h"

namespace fairlead::run {

namespace {

HttpResponse Plain(std::string body) {
  HttpResponse response = TextResponse(200, std::move(body));
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return response;
}

}  // namespace

HttpRoutes HealthPages(const Health& health, Metrics& metrics) {
  HttpRoutes routes;
  routes["/healthz"] = [&](const HttpRequest&) {
    HttpResponse response = health.Healthz();
    metrics.CountHealthz(response.status);
    return response;
  };
  routes["/livez"] = [&](const HttpRequest&) {
    HttpResponse response = health.Livez();
    metrics.CountLivez(response.status);
    return response;
  };
  return routes;
}

HttpRoutes MetricsPages(const Metrics& metrics, std::function<ModeChoice()> mode, std::string config_json) {
  HttpRoutes routes;
  routes["/metrics"] = [&](const HttpRequest&) {
    HttpResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = metrics.Expose();
    return response;
  };
  routes["/healthz"] = [](const HttpRequest&) { return Plain("ok"); };
  routes["/proxyMode"] = [mode = std::move(mode)](const HttpRequest&) {
    ModeChoice choice = mode();
    HttpResponse response = Plain(std::move(choice.mode));
    response.headers.emplace_back("X-Fairlead-Reason", std::move(choice.reason));
    return response;
  };
  routes["/configz"] = [config = std::move(config_json)](const HttpRequest&) {
    HttpResponse response = Plain(config);
    response.content_type = "application/json";
    return response;
  };
  return routes;
}

}  // namespace fairlead::run
