// SPDX-License-Identifier: Apache-2.0
// Fills OpenSSL client contexts: whom to trust, the name to expect, the certificate to show.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "agent/base/error.h"
#include "agent/kube/kubeconfig.h"

struct ssl_ctx_st;

namespace fairlead::kube {

// Why the last server certificate was refused; empty if none was. Thread-safe.
class TlsVerdict {
 public:
  void Set(std::string reason);
  std::string Get() const;

 private:
  mutable std::mutex mutex_;
  std::string reason_;
};

// The host of an "https://host:port/path" without brackets.
std::string HostOf(const std::string& server);
bool IsAddress(const std::string& host);

// Reads certificate files anew, so that a context made per connection follows their rotation. With a CA
// given, the system's authorities are not trusted. Names are checked by OpenSSL itself (SAN of the host or
// address); the verdict is written there. kInvalid names the field at fault.
Result<> SetUpTls(const ApiAccess& access, ssl_ctx_st* context, std::shared_ptr<TlsVerdict> verdict);

}  // namespace fairlead::kube
