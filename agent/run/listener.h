// SPDX-License-Identifier: Apache-2.0
// A listening TCP socket from an address as people write it.
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::run {

struct Listener {
  Fd fd;              // non-blocking, close-on-exec
  uint16_t port = 0;  // in use
};

// As HttpServer::Listen.
Result<Listener> OpenListener(const std::string& address);

}  // namespace fairlead::run
