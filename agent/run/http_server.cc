// SPDX-License-Identifier: Apache-2.0
#include "agent/run/http_server.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <list>
#include <map>
#include <mutex>
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
  std::shared_ptr<const HttpRoutes> routes;
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
bool Receive(Connection& connection) {
  char buffer[4096];
  ssize_t got = ::recv(connection.fd.Get(), buffer, sizeof(buffer), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  if (connection.state != Connection::State::kReading) return true;
  connection.in.append(buffer, static_cast<size_t>(got));
  auto request = ReadRequest(connection.in);
  if (request && !*request) return true;
  connection.out = request
                       ? RenderResponse(Answer(*connection.routes, **request), (*request)->method != "HEAD")
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
  Loop(Fd listening, Fd wake) : listening_(std::move(listening)), wake_(std::move(wake)) {
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

  Result<ListenerId> Add(Listener listener, HttpRoutes routes) {
    std::lock_guard lock(mutex_);
    const ListenerId id = ++last_id_;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
    if (::epoll_ctl(listening_.Get(), EPOLL_CTL_ADD, listener.fd.Get(), &event) != 0) {
      return FailErrno(errno, "listen on port {}: epoll", listener.port);
    }
    listeners_.emplace(id,
                       Door{std::move(listener.fd), std::make_shared<const HttpRoutes>(std::move(routes))});
    return id;
  }

  // epoll holds no reference to a descriptor, unlike a poll() under way: closed is closed.
  void Remove(ListenerId id) {
    std::lock_guard lock(mutex_);
    listeners_.erase(id);
  }

 private:
  struct Door {
    Fd fd;
    std::shared_ptr<const HttpRoutes> routes;
  };

  void Run() {
    std::vector<pollfd> polled;
    for (;;) {
      int timeout_ms = FillPoll(polled);
      if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) {
        spdlog::error("http: poll: {}", ::strerror(errno));
        return;
      }
      if (polled[0].revents != 0) return;
      ServeConnections(polled);
      if (polled[1].revents != 0) Accept();
    }
  }

  // First the wake-up, then all listeners as one, then the connections in their order. Returns the time to
  // the nearest deadline in ms, -1 for none.
  int FillPoll(std::vector<pollfd>& polled) {
    auto now = Clock::now();
    auto nearest = Clock::time_point::max();
    bool paused = now < accept_after_;
    if (paused) nearest = accept_after_;
    polled.clear();
    polled.push_back({wake_.Get(), POLLIN, 0});
    polled.push_back({paused ? -1 : listening_.Get(), POLLIN, 0});
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
        goes_on =
            connection->state == Connection::State::kWriting ? Transmit(*connection) : Receive(*connection);
      }
      connection = goes_on ? std::next(connection) : connections_.erase(connection);
    }
  }

  void Accept() {
    epoll_event ready[16];
    int count = ::epoll_wait(listening_.Get(), ready, std::size(ready), 0);
    for (int i = 0; i < count; ++i) AcceptFrom(ready[i].data.u64);
  }

  void AcceptFrom(ListenerId id) {
    std::lock_guard lock(mutex_);
    auto door = listeners_.find(id);
    if (door == listeners_.end()) return;
    // Bounded, so that a flood of connections does not keep the others from being served.
    for (size_t i = 0; i < kMostConnections; ++i) {
      Fd fd(::accept4(door->second.fd.Get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          accept_after_ = Clock::now() + kAcceptPause;
        }
        return;
      }
      if (connections_.size() == kMostConnections) connections_.pop_front();
      connections_.push_back({.fd = std::move(fd),
                              .routes = door->second.routes,
                              .deadline = Clock::now() + kExchangeTime,
                              .state = Connection::State::kReading,
                              .in = {},
                              .out = {},
                              .sent = 0});
    }
  }

  std::mutex mutex_;
  std::map<ListenerId, Door> listeners_;  // guarded by mutex_, as is last_id_
  ListenerId last_id_ = 0;
  const Fd listening_;  // an epoll of the listeners
  const Fd wake_;
  std::list<Connection> connections_;  // oldest first
  Clock::time_point accept_after_{};
  std::thread thread_;
};

HttpServer::HttpServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;
HttpServer& HttpServer::operator=(HttpServer&&) noexcept = default;
HttpServer::~HttpServer() = default;

Result<HttpServer> HttpServer::Create() {
  Fd wake(::eventfd(0, EFD_CLOEXEC));
  Fd listening(::epoll_create1(EPOLL_CLOEXEC));
  if (!wake || !listening) return FailErrno(errno, "http server: descriptors to wait on");
  return HttpServer(std::make_unique<Loop>(std::move(listening), std::move(wake)));
}

Result<HttpServer> HttpServer::Listen(const std::string& address, HttpRoutes routes) {
  auto listener = OpenListener(address);
  if (!listener) return Unexpected(std::move(listener).error());
  auto server = Create();
  if (!server) return server;
  server->port_ = listener->port;
  server->address_ = address.substr(0, address.rfind(':') + 1) + std::to_string(listener->port);
  auto added = server->loop_->Add(*std::move(listener), std::move(routes));
  if (!added) return Unexpected(std::move(added).error());
  return server;
}

Result<HttpServer::ListenerId> HttpServer::Add(const Address& address, uint16_t port, HttpRoutes routes) {
  auto listener = OpenListener(address, port);
  if (!listener) return Unexpected(std::move(listener).error());
  return loop_->Add(*std::move(listener), std::move(routes));
}

void HttpServer::Remove(ListenerId id) {
  loop_->Remove(id);
}

}  // namespace fairlead::run
