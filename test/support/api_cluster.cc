// SPDX-License-Identifier: Apache-2.0
#include "test/support/api_cluster.h"

#include <fmt/format.h>
#include <simdjson.h>
#include <time.h>

#include <algorithm>

#include "test/support/api_reply.h"

namespace fairlead::test {
namespace {

using Milliseconds = std::chrono::milliseconds;
constexpr size_t kWriteBytes = 64 << 10;  // of initial events at once

int64_t MonotonicNs() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// The parts of an object that matter here.
struct Parsed {
  std::string kind;
  std::string key;  // "namespace/name"
  std::set<std::string> labels;
  std::string before;  // JSON up to and into "metadata":{
  std::string after;   // and from there on, without the resourceVersion it had
};

std::string Text(simdjson::dom::object object, const char* key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

// Members of `object` in JSON, but for one.
std::string Members(simdjson::dom::object object, std::string_view without) {
  std::string out;
  for (const auto [key, value] : object) {
    if (key == without) continue;
    out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", key, simdjson::minify(value));
  }
  return out;
}

Parsed Parse(std::string_view json) {
  static thread_local simdjson::dom::parser parser;
  Parsed parsed;
  simdjson::dom::object object;
  simdjson::dom::object metadata;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS) return parsed;
  if (object["metadata"].get(metadata) != simdjson::SUCCESS) return parsed;
  parsed.kind = Text(object, "kind");
  const std::string ns = Text(metadata, "namespace");
  parsed.key = Text(metadata, "name");
  if (!ns.empty()) parsed.key = ns + "/" + parsed.key;
  simdjson::dom::object labels;
  if (metadata["labels"].get(labels) == simdjson::SUCCESS) {
    for (const auto [key, value] : labels) parsed.labels.emplace(key);
  }
  const std::string others = Members(object, "metadata");
  parsed.before = "{" + others + (others.empty() ? "" : ",") + "\"metadata\":{";
  parsed.after = Members(metadata, "resourceVersion");
  parsed.after += "}}";
  return parsed;
}

std::string WithVersion(const Parsed& parsed, uint64_t version) {
  return fmt::format("{}\"resourceVersion\":\"{}\",{}", parsed.before, version, parsed.after);
}

}  // namespace

ApiCluster::ApiCluster(const Options& options) : options_(options) {
  const auto add = [this](const char* kind, const char* api_version, const char* path) {
    Collection& collection = collections_.emplace_back();
    collection.kind = kind;
    collection.api_version = api_version;
    collection.path = path;
  };
  add("Service", "v1", "/api/v1/services");
  add("EndpointSlice", "discovery.k8s.io/v1", "/apis/discovery.k8s.io/v1/endpointslices");
  add("Node", "v1", "/api/v1/nodes");
  if (options.service_cidrs)
    add("ServiceCIDR", "networking.k8s.io/v1", "/apis/networking.k8s.io/v1/servicecidrs");
}

bool ApiCluster::Selector::Matches(const std::string& key, const std::set<std::string>& labels) const {
  if (!name.empty() && key != name) return false;
  return std::ranges::none_of(absent_labels,
                              [&](const std::string& label) { return labels.contains(label); });
}

// Terms "!label" and "metadata.name=x", which are those the agent uses.
ApiCluster::Selector ApiCluster::ReadSelector(const Request& request) {
  Selector selector;
  std::string terms = request.Query("labelSelector");
  for (size_t start = 0; start < terms.size();) {
    const size_t end = std::min(terms.find(',', start), terms.size());
    if (terms[start] == '!') selector.absent_labels.push_back(terms.substr(start + 1, end - start - 1));
    start = end + 1;
  }
  const std::string field = request.Query("fieldSelector");
  constexpr std::string_view kByName = "metadata.name=";
  if (field.starts_with(kByName)) selector.name = field.substr(kByName.size());
  return selector;
}

ApiCluster::Collection* ApiCluster::Find(std::string_view kind) {
  const auto found = std::ranges::find(collections_, kind, &Collection::kind);
  return found == collections_.end() ? nullptr : &*found;
}

size_t ApiCluster::Watchers(std::string_view kind) const {
  const auto found = std::ranges::find(collections_, kind, &Collection::kind);
  if (found == collections_.end()) return 0;
  std::lock_guard lock(found->mutex);
  return found->watchers.size();
}

ApiCluster::Written ApiCluster::Put(std::string_view json) {
  Parsed parsed = Parse(json);
  Collection* collection = Find(parsed.kind);
  if (collection == nullptr || parsed.key.empty()) return {};
  std::lock_guard lock(collection->mutex);
  const uint64_t version = ++version_;
  auto [place, added] = collection->objects.try_emplace(parsed.key);
  Stored& stored = place->second;
  Event event{version,      added ? "ADDED" : "MODIFIED", parsed.key, WithVersion(parsed, version), {},
              parsed.labels};
  if (!added) event.labels_before = stored.labels;
  stored.json = event.json;
  stored.labels = parsed.labels;
  return Publish(*collection, std::move(event));
}

ApiCluster::Written ApiCluster::Delete(std::string_view kind, const std::string& name) {
  Collection* collection = Find(kind);
  if (collection == nullptr) return {};
  std::lock_guard lock(collection->mutex);
  const auto found = collection->objects.find(name);
  if (found == collection->objects.end()) return {};
  const uint64_t version = ++version_;
  Event event{version, "DELETED", name, WithVersion(Parse(found->second.json), version), found->second.labels,
              {}};
  collection->objects.erase(found);
  return Publish(*collection, std::move(event));
}

// With the collection's mutex held.
ApiCluster::Written ApiCluster::Publish(Collection& collection, Event event) {
  Written written{event.version, MonotonicNs()};
  for (Watcher* watcher : collection.watchers) {
    const std::string chunk = EventChunk(event, watcher->selector);
    if (!chunk.empty()) watcher->connection->Write(chunk);
  }
  collection.history.push_back(std::move(event));
  if (collection.history.size() > options_.history) {
    collection.forgotten = collection.history.front().version;
    collection.history.pop_front();
  }
  return written;
}

void ApiCluster::ForgetHistory() {
  for (Collection& collection : collections_) {
    std::lock_guard lock(collection.mutex);
    collection.history.clear();
    collection.forgotten = version_;
  }
}

// Seen through a selector, an object whose labels change comes and goes.
std::string ApiCluster::EventChunk(const Event& event, const Selector& selector) {
  const std::string_view type = event.type;
  const bool was = type != "ADDED" && selector.Matches(event.key, event.labels_before);
  const bool is = type != "DELETED" && selector.Matches(event.key, event.labels_after);
  if (!was && !is) return "";
  return Chunk(fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n",
                           was && is ? "MODIFIED"
                           : is      ? "ADDED"
                                     : "DELETED",
                           event.json));
}

std::string ApiCluster::BookmarkChunk(const Collection& collection, bool initial_events_end) const {
  return Chunk(fmt::format(
      R"({{"type":"BOOKMARK","object":{{"kind":"{}","apiVersion":"{}","metadata":{{"resourceVersion":"{}"{}}}}}}})"
      "\n",
      collection.kind, collection.api_version, version_.load(),
      initial_events_end ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : ""));
}

After ApiCluster::Serve(const Request& request, Connection& connection) {
  const auto found = std::ranges::find(collections_, request.path, &Collection::path);
  if (found == collections_.end()) {
    return Send(Reply::Status(404, "NotFound", "the server could not find the requested resource"),
                connection);
  }
  return request.Query("watch") == "true" ? Watch(*found, request, connection)
                                          : List(*found, request, connection);
}

// A continue token is "VERSION.KEY": the version of the first page and the last key sent.
After ApiCluster::List(Collection& collection, const Request& request, Connection& connection) {
  const Selector selector = ReadSelector(request);
  const std::string token = request.Query("continue");
  const std::string limit_text = request.Query("limit");
  const size_t limit = limit_text.empty() ? 0 : std::stoul(limit_text);
  std::string items;
  std::string next;
  uint64_t version;
  {
    std::lock_guard lock(collection.mutex);
    version = token.empty() ? version_.load() : std::stoull(token);
    if (!token.empty() && version < collection.forgotten) {
      return Send(Reply::Status(410, "Expired", "The provided continue parameter is too old"), connection);
    }
    auto object = token.empty() ? collection.objects.begin()
                                : collection.objects.upper_bound(token.substr(token.find('.') + 1));
    std::string last;
    for (size_t count = 0; object != collection.objects.end(); ++object) {
      if (!selector.Matches(object->first, object->second.labels)) continue;
      if (limit != 0 && count++ == limit) {
        next = fmt::format("{}.{}", version, last);
        break;
      }
      items += (items.empty() ? "" : ",") + object->second.json;
      last = object->first;
    }
  }
  const std::string metadata = fmt::format(R"("resourceVersion":"{}"{})", version,
                                           next.empty() ? "" : R"(,"continue":")" + next + "\"");
  const std::string body =
      fmt::format(R"({{"kind":"{}List","apiVersion":"{}","metadata":{{{}}},"items":[{}]}})", collection.kind,
                  collection.api_version, metadata, items);
  const bool compressed = body.size() >= options_.gzip_from && request.Header("accept-encoding") == "gzip";
  return Send(compressed ? Reply::Json(200, Gzip(body), "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n")
                         : Reply::Json(200, body),
              connection);
}

After ApiCluster::Watch(Collection& collection, const Request& request, Connection& connection) {
  if (request.Query("sendInitialEvents") == "true" && !options_.watch_list) {
    return Send(Reply::Status(422, "Invalid",
                              "sendInitialEvents is forbidden for watch unless the WatchList feature "
                              "gate is enabled"),
                connection);
  }
  Watcher watcher{ReadSelector(request), &connection};
  if (!connection.Write(WatchHead())) return After::kClose;
  if (!Begin(collection, request, watcher)) return After::kClose;
  const std::string timeout = request.Query("timeoutSeconds");
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(timeout.empty() ? 1800 : std::stol(timeout));
  bool peer_there = true;
  for (auto now = std::chrono::steady_clock::now(); now < end && peer_there;
       now = std::chrono::steady_clock::now()) {
    const auto left = std::chrono::duration_cast<Milliseconds>(end - now) + Milliseconds(1);
    peer_there = connection.Quiet(std::min(options_.bookmarks, left));
    std::lock_guard lock(collection.mutex);
    if (peer_there) connection.Write(BookmarkChunk(collection, false));
  }
  std::lock_guard lock(collection.mutex);
  collection.watchers.erase(&watcher);
  return peer_there && connection.Write(kLastChunk) ? After::kKeepAlive : After::kClose;
}

// Sends what has already happened, and registers the watcher for the rest; false ends the watch.
bool ApiCluster::Begin(Collection& collection, const Request& request, Watcher& watcher) {
  Connection& connection = *watcher.connection;
  const std::string from = request.Query("resourceVersion");
  const bool watch_list = request.Query("sendInitialEvents") == "true";
  std::string out;
  const auto add = [&](const Event& event) {
    out += EventChunk(event, watcher.selector);
    if (out.size() >= kWriteBytes) connection.Write(std::exchange(out, {}));
  };
  std::lock_guard lock(collection.mutex);
  if (watch_list || from.empty() || from == "0") {
    for (const auto& [key, stored] : collection.objects)
      add({0, "ADDED", key, stored.json, {}, stored.labels});
    if (watch_list) out += BookmarkChunk(collection, true);
  } else {
    const uint64_t version = std::stoull(from);
    if (version < collection.forgotten) {
      connection.Write(ErrorChunk(410, "Expired", fmt::format("too old resource version: {}", version)) +
                       std::string(kLastChunk));
      return false;
    }
    for (const Event& event : collection.history) {
      if (event.version > version) add(event);
    }
  }
  collection.watchers.insert(&watcher);
  return connection.Write(out);
}

}  // namespace fairlead::test
