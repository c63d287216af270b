// SPDX-License-Identifier: Apache-2.0
// The bearer token of a request. A token file rotates: it is read again every 10 seconds at most, and at once
// after the server refused what it held. Thread-safe.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "agent/base/error.h"

namespace fairlead::kube {

class Token {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kReadInterval{10};

  Token(std::string text, std::string file) : text_(std::move(text)), file_(std::move(file)) {}

  // Empty: none to send. A file that cannot be read leaves the last token in force; kUnavailable if there is
  // none.
  Result<std::string> Get(Clock::time_point now);
  // The server answered 401: the next Get reads the file.
  void Refused();

 private:
  std::mutex mutex_;
  std::string text_;
  const std::string file_;
  bool read_now_ = true;
  Clock::time_point read_at_;
};

}  // namespace fairlead::kube
