// SPDX-License-Identifier: Apache-2.0
// GET requests to one API server, for threads that wait. A body is handed over while it still arrives, chunk
// by chunk; what is not read in time holds the sender back instead of filling memory. The one place that
// knows cpprest.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "agent/kube/kubeconfig.h"

namespace fairlead::kube {

using TimePoint = std::chrono::steady_clock::time_point;

// A response whose headers are there. Dropping it before its end closes the connection.
class HttpResponse {
 public:
  struct Exchange;

  explicit HttpResponse(std::shared_ptr<Exchange> exchange);
  ~HttpResponse();
  HttpResponse(HttpResponse&&) noexcept;
  HttpResponse& operator=(HttpResponse&&) noexcept;

  int status() const;
  std::chrono::seconds retry_after() const;  // header Retry-After; 0 if there is none

  // Appends the next bytes, uncompressed, as soon as there are any; false at the body's orderly end.
  // kUnavailable if the connection broke, the deadline passed (code ETIMEDOUT) or the client was stopped
  // (code ECANCELED).
  Result<bool> Read(std::string& into, TimePoint deadline);
  // When the bytes of the last Read came from the network.
  TimePoint received() const;

 private:
  std::shared_ptr<Exchange> exchange_;
};

class HttpClient {
 public:
  // Connects only when asked something. kInvalid if certificates or the URL cannot be used.
  static Result<std::unique_ptr<HttpClient>> Create(ApiAccess access);
  ~HttpClient();

  // `target` is path and query, percent-encoded. Any status is a response; kUnavailable if there is none.
  Result<HttpResponse> Get(const std::string& target, bool compressed, TimePoint deadline);
  // The server answered 401: reads the token file before the next request.
  void TokenRefused();
  // Fails every Get and Read, present and future, at once. Any thread.
  void Stop();

  const ApiAccess& access() const;

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fairlead::kube
