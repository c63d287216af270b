// SPDX-License-Identifier: Apache-2.0
// The objects of a small Kubernetes cluster in memory, served as an API server does: resource versions, lists
// with pages and gzip, watches with bookmarks and history, WatchList. Objects are JSON texts; only metadata
// is looked at.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/https_server.h"

namespace fairlead::test {

class ApiCluster {
 public:
  struct Options {
    bool watch_list = true;        // false: refuses sendInitialEvents with 422
    bool service_cidrs = true;     // false: 404, as before Kubernetes 1.33
    size_t history = 100000;       // events a watch can resume over
    size_t gzip_from = 128 << 10;  // bodies from this size on
    std::chrono::milliseconds bookmarks{60000};
  };
  // What a change did.
  struct Written {
    uint64_t version = 0;  // 0: nothing changed
    int64_t at_ns = 0;     // CLOCK_MONOTONIC, just before the first watcher was written to
  };

  explicit ApiCluster(const Options& options);

  Written Put(std::string_view json);  // creates or replaces; an object without kind or name changes nothing
  // `kind` as in the object ("Service"); `name` is "namespace/name", or "name".
  Written Delete(std::string_view kind, const std::string& name);
  void ForgetHistory();  // as etcd's compaction: older versions are gone
  size_t Watchers(std::string_view kind) const;

  // Answers a list or watch; 404 for other paths.
  After Serve(const Request& request, Connection& connection);

 private:
  struct Stored {
    std::string json;  // with its resourceVersion
    std::set<std::string> labels;
  };
  struct Event {
    uint64_t version;
    const char* type;  // as on the wire
    std::string key;
    std::string json;
    std::set<std::string> labels_before;
    std::set<std::string> labels_after;
  };
  // What label and field selectors of a request let through.
  struct Selector {
    std::vector<std::string> absent_labels;
    std::string name;
    bool Matches(const std::string& key, const std::set<std::string>& labels) const;
  };
  struct Watcher {
    Selector selector;
    Connection* connection;
  };
  // One kind. The mutex is held while watchers are written to, which keeps events in order; a client that
  // does not read holds up changes of this kind.
  struct Collection {
    std::string kind;
    std::string api_version;
    std::string path;
    mutable std::mutex mutex;
    std::map<std::string, Stored> objects;
    std::deque<Event> history;
    uint64_t forgotten = 0;  // versions up to this one cannot be resumed from
    std::set<Watcher*> watchers;
  };

  static Selector ReadSelector(const Request& request);
  static std::string EventChunk(const Event& event, const Selector& selector);
  std::string BookmarkChunk(const Collection& collection, bool initial_events_end) const;
  Collection* Find(std::string_view kind);
  Written Publish(Collection& collection, Event event);
  After List(Collection& collection, const Request& request, Connection& connection);
  After Watch(Collection& collection, const Request& request, Connection& connection);
  bool Begin(Collection& collection, const Request& request, Watcher& watcher);

  const Options options_;
  std::atomic<uint64_t> version_{100};
  std::deque<Collection> collections_;
};

}  // namespace fairlead::test
