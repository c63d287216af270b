// SPDX-License-Identifier: Apache-2.0
#include "agent/run/http_server.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <list>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/fd.h"
#include "agent/base/log.h"
#include "agent/run/listener.h"

namespace fairlead::run {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kExchangeTime{5000};
// After the answer: how long to swallow what a client still sends. Closing at once would reset the connection
// and could take the answer with it.
constexpr milliseconds kDrainTime{500};
// How long to leave the backlog alone when there are no more file descriptors.
constexpr milliseconds kAcceptPause{100};
constexpr size_t kMostConnections = 128;

struct Connection {
  enum class State { kReading, kWriting, kDraining };
  Fd fd;
  Clock::time_point deadline;
  State state = State::kReading;
  std::string in;
  std::string out;
  size_t sent = 0;  // bytes of it
};

HttpResponse Answer(const HttpRoutes& routes, const HttpRequest& request) {
  auto route = routes.find(request.path);
  if (route == routes.end() || request.path == "*") {
    route = routes.find("*");
    if (route == routes.end()) return TextResponse(404, "no such page\n");
  } else if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse refused = TextResponse(405, "GET or HEAD only\n");
    refused.headers.emplace_back("Allow", "GET, HEAD");
    return refused;
  }
  try {
    return route->second(request);
  } catch (const std::exception& error) {
    spdlog::error("http {}: {}", request.path, error.what());
    return TextResponse(500, "internal error\n");
  }
}

// Takes what has come in. False if the connection is over.
bool Receive(Connection& connection, const HttpRoutes& routes) {
  char buffer[4096];
  ssize_t got = ::recv(connection.fd.Get(), buffer, sizeof(buffer), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  if (connection.state != Connection::State::kReading) return true;
  connection.in.append(buffer, static_cast<size_t>(got));
  auto request = ReadRequest(connection.in);
  if (request && !*request) return true;
  connection.out = request ? RenderResponse(Answer(routes, **request), (*request)->method != "HEAD")
                           : RenderResponse(request.error(), true);
  connection.in = {};
  connection.state = Connection::State::kWriting;
  return true;
}

// Sends what is left. False if the connection is over.
bool Transmit(Connection& connection) {
  std::string_view rest = std::string_view(connection.out).substr(connection.sent);
  ssize_t sent = ::send(connection.fd.Get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  connection.sent += static_cast<size_t>(sent);
  if (connection.sent < connection.out.size()) return true;
  ::shutdown(connection.fd.Get(), SHUT_WR);
  connection.state = Connection::State::kDraining;
  connection.deadline = std::min(connection.deadline, Clock::now() + kDrainTime);
  return true;
}

}  // namespace

// The server's thread and what it works on. Never moves.
class HttpServer::Loop {
 public:
  Loop(std::string address, Listener listener, Fd wake, HttpRoutes routes)
      : address_(std::move(address)),
        port_(listener.port),
        listener_(std::move(listener.fd)),
        wake_(std::move(wake)),
        routes_(std::move(routes)) {
    // Signals are the main thread's.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { Run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Loop() {
    ::eventfd_write(wake_.Get(), 1);
    thread_.join();
  }

  const std::string& address() const { return address_; }
  uint16_t port() const { return port_; }

 private:
  void Run() {
    std::vector<pollfd> polled;
    for (;;) {
      int timeout_ms = FillPoll(polled);
      if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) {
        spdlog::error("http {}: poll: {}", address_, ::strerror(errno));
        return;
      }
      if (polled[0].revents != 0) return;
      ServeConnections(polled);
      if (polled[1].revents != 0) Accept();
    }
  }

  // First the wake-up, then the listener, then the connections in their order. Returns the time to the
  // nearest deadline in ms, -1 for none.
  int FillPoll(std::vector<pollfd>& polled) {
    auto now = Clock::now();
    auto nearest = Clock::time_point::max();
    bool paused = now < accept_after_;
    if (paused) nearest = accept_after_;
    polled.clear();
    polled.push_back({wake_.Get(), POLLIN, 0});
    polled.push_back({paused ? -1 : listener_.Get(), POLLIN, 0});
    for (const Connection& connection : connections_) {
      short events = connection.state == Connection::State::kWriting ? POLLOUT : POLLIN;
      polled.push_back({connection.fd.Get(), events, 0});
      nearest = std::min(nearest, connection.deadline);
    }
    if (nearest == Clock::time_point::max()) return -1;
    return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(nearest - now).count()));
  }

  void ServeConnections(const std::vector<pollfd>& polled) {
    auto now = Clock::now();
    auto connection = connections_.begin();
    for (size_t i = 2; i < polled.size(); ++i) {
      bool goes_on = now < connection->deadline;
      if (goes_on && polled[i].revents != 0) {
        goes_on = connection->state == Connection::State::kWriting ? Transmit(*connection)
                                                                   : Receive(*connection, routes_);
      }
      connection = goes_on ? std::next(connection) : connections_.erase(connection);
    }
  }

  void Accept() {
    // Bounded, so that a flood of connections does not keep the others from being served.
    for (size_t i = 0; i < kMostConnections; ++i) {
      Fd fd(::accept4(listener_.Get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          accept_after_ = Clock::now() + kAcceptPause;
        }
        return;
      }
      if (connections_.size() == kMostConnections) connections_.pop_front();
      connections_.push_back({.fd = std::move(fd),
                              .deadline = Clock::now() + kExchangeTime,
                              .state = Connection::State::kReading,
                              .in = {},
                              .out = {},
                              .sent = 0});
    }
  }

  const std::string address_;
  const uint16_t port_;
  const Fd listener_;
  const Fd wake_;
  const HttpRoutes routes_;
  std::list<Connection> connections_;  // oldest first
  Clock::time_point accept_after_{};
  std::thread thread_;
};

HttpServer::HttpServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;
HttpServer& HttpServer::operator=(HttpServer&&) noexcept = default;
HttpServer::~HttpServer() = default;

const std::string& HttpServer::address() const {
  return loop_->address();
}
uint16_t HttpServer::port() const {
  return loop_->port();
}

Result<HttpServer> HttpServer::Listen(const std::string& address, HttpRoutes routes) {
  auto listener = OpenListener(address);
  if (!listener) return Unexpected(std::move(listener).error());
  Fd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake) return FailErrno(errno, "listen on {}: eventfd", address);
  std::string in_use = address.substr(0, address.rfind(':') + 1) + std::to_string(listener->port);
  return HttpServer(
      std::make_unique<Loop>(std::move(in_use), *std::move(listener), std::move(wake), std::move(routes)));
}

}  // namespace fairlead::run
