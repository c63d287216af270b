// SPDX-License-Identifier: Apache-2.0
// A listening TCP socket.
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::run {

struct Listener {
  Fd fd;              // non-blocking, close-on-exec
  uint16_t port = 0;  // in use
};

// As HttpServer::Listen: an address as people write it.
Result<Listener> OpenListener(const std::string& address);
// For the address's own family, the unspecified addresses included.
Result<Listener> OpenListener(const Address& address, uint16_t port);

}  // namespace fairlead::run
