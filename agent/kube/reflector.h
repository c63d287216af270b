// SPDX-License-Identifier: Apache-2.0
// Keeps a sink equal to one kind of objects of an API server: list, then watch from where the list ended, and
// again from where the watch ended. What was delivered stands until the next complete list replaces it. One
// thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/kube/backoff.h"
#include "agent/kube/decode.h"
#include "agent/kube/http_client.h"
#include "agent/kube/problem_log.h"
#include "agent/kube/resource.h"
#include "agent/kube/source.h"

namespace fairlead::kube {

// What all reflectors of a server share.
struct ServerLink {
  HttpClient& client;
  std::atomic<bool> watch_list;  // false once the server refused it
};

class Reflector {
 public:
  // Starts at once. `link` and `sink` outlive it.
  Reflector(Resource resource, const ApiOptions& options, ServerLink& link, Sink& sink);
  // Waits for a request under way: for a prompt end, RequestStop first, then stop the link's client.
  ~Reflector();
  void RequestStop();        // nothing is reported any more
  WatchState State() const;  // any thread

 private:
  // How one request came out.
  struct Outcome {
    enum class Kind : uint8_t {
      kEnded,    // in order
      kExpired,  // the version asked for is gone: list again
      kAbsent,   // an optional resource is not there
      kFailed,
    };
    Kind kind = Kind::kEnded;
    bool progress = false;  // a complete list, or an event or bookmark after one
    bool brief = false;     // a watch that ended as soon as it began: not to be repeated without a pause
    bool broke = false;     // the connection, which says nothing about the version asked for
    std::string problem{};  // empty: nothing to say
    std::chrono::milliseconds wait{0};  // asked for by the server
  };
  using InitialObjects = std::map<ObjectName, Object>;

  void Run();
  void Settle(Outcome outcome, const std::string& verb);
  bool Sleep(std::chrono::milliseconds time);  // false: stop

  Outcome List();
  Result<ListPage> ReadPage(const std::string& target, TimePoint& received, Outcome& outcome);
  Outcome Watch();
  Outcome WatchList();
  Outcome Follow(HttpResponse& response, InitialObjects* initial);
  Outcome FrameTooLarge(bool progress) const;
  bool TakeFrame(std::string_view frame, TimePoint received, InitialObjects*& initial, Outcome& outcome);
  void TakeEvent(WatchEvent event, TimePoint received, InitialObjects* initial);
  void Synced(std::string version, std::vector<Object> objects, TimePoint received);
  void PushReplace(std::vector<Object> objects, TimePoint received);

  Outcome Refused(const char* verb, HttpResponse& response);
  Outcome Failed(const char* verb, const Error& error) const;
  Result<std::string> ReadAll(HttpResponse& response, size_t limit) const;
  TimePoint AnswerDeadline() const { return std::chrono::steady_clock::now() + options_.answer_timeout; }
  TimePoint Deadline() const { return std::chrono::steady_clock::now() + options_.idle_timeout; }
  long WatchSeconds();

  const Resource resource_;
  const ApiOptions options_;
  ServerLink& link_;
  Sink& sink_;
  ProblemLog problems_;
  Backoff backoff_;
  std::minstd_rand random_{std::random_device{}()};

  std::string version_;     // where the next watch starts; empty: list first
  bool absent_ = false;     // the empty set of an absent resource was delivered
  bool watch_list_ = true;  // false once a WatchList came to nothing
  int barren_ = 0;          // watches in a row that were answered and brought nothing

  std::atomic<bool> connected_ = false;
  std::atomic<uint64_t> lists_ = 0;
  std::atomic<double> last_event_s_ = 0;

  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fairlead::kube
