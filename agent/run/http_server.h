// SPDX-License-Identifier: Apache-2.0
// A small HTTP server for the agent's own pages: exact paths, answers made in memory by handlers, no files,
// no TLS. One thread, however many addresses it listens on.
//
// Of our own because the libraries at hand do not fit a listener that stands on every address of a node:
// Debian's civetweb (1.15) is built without IPv6, takes up to 2 s to stop and lets as many slow clients as it
// has threads shut out the health probe; cpprestsdk's listener has no deadline for a request.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/run/http_message.h"

namespace fairlead::run {

// Called from the server's thread, one at a time; must not block for long. An exception answers 500.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

// By path. The path "*" takes whatever no other does, with any method; the others answer GET and HEAD only.
using HttpRoutes = std::map<std::string, HttpHandler, std::less<>>;

class HttpServer {
 public:
  // Listens on "IP:port" or "[IPv6]:port"; port 0 lets the kernel choose. "[::]" takes IPv4 too, as Go's
  // servers do. Errors name the address: kInvalid if it is none, another kind with errno if it cannot be
  // listened on.
  //
  // A client has 5 s for its exchange. At most 128 are served at a time; one more takes the place of the
  // oldest, so that idle connections cannot keep a probe out.
  static Result<HttpServer> Listen(const std::string& address, HttpRoutes routes);
  // Listens nowhere yet.
  static Result<HttpServer> Create();

  // Listens on one more address, with routes of its own; unspecified addresses stand for their own family
  // only. Any thread.
  using ListenerId = uint64_t;
  Result<ListenerId> Add(const Address& address, uint16_t port, HttpRoutes routes);
  // The port is free when this returns; answers under way go on. Any thread.
  void Remove(ListenerId id);

  HttpServer(HttpServer&&) noexcept;
  HttpServer& operator=(HttpServer&&) noexcept;
  ~HttpServer();  // closes every listener and connection; waits for a handler under way

  // As given to Listen, with the port in use.
  const std::string& address() const { return address_; }
  uint16_t port() const { return port_; }

 private:
  class Loop;
  explicit HttpServer(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
  std::string address_;
  uint16_t port_ = 0;
};

}  // namespace fairlead::run
