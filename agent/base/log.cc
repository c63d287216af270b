// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace fairlead {

void SetUpLog(int verbosity) {
  auto logger = spdlog::stderr_color_mt("fairlead");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%L%$ %v");
  logger->set_level(verbosity >= 4   ? spdlog::level::trace
                    : verbosity >= 1 ? spdlog::level::debug
                                     : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace fairlead
