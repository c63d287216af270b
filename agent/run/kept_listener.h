// SPDX-License-Identifier: Apache-2.0
// An HTTP server that may have to wait for its address: what cannot be bound now is tried again (kube-proxy's
// bindAddressHardFail: false).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "agent/base/log.h"
#include "agent/run/http_server.h"

namespace fairlead::run {

class KeptListener {
 public:
  // `flag` names the address in errors; an empty address listens nowhere.
  KeptListener(std::string flag, std::string address, std::function<HttpRoutes()> routes)
      : flag_(std::move(flag)), address_(std::move(address)), routes_(std::move(routes)) {}

  // Listens, unless it does already.
  Result<void> Try() {
    if (server_ || address_.empty()) return {};
    auto server = HttpServer::Listen(address_, routes_());
    if (!server) return std::unexpected(std::move(server.error()).In(flag_));
    server_ = std::move(*server);
    spdlog::info("{}: listening on {}", flag_, server_->address());
    return {};
  }

 private:
  std::string flag_, address_;
  std::function<HttpRoutes()> routes_;
  std::optional<HttpServer> server_;
};

}  // namespace fairlead::run
