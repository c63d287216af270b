// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/reflector.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace fairlead::kube {
namespace {

double UnixNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

constexpr size_t kMaxListBytes = 512 << 20;
constexpr size_t kMaxStatusBytes = 1 << 20;
constexpr size_t kKeptBufferBytes = 1 << 20;
constexpr std::chrono::milliseconds kBriefWatch{1000};
constexpr std::chrono::milliseconds kLongestWait{120'000};  // whatever a Retry-After says
// Watches that start and bring nothing: a version from the future (a restored etcd) looks like this, and so
// does an event that cannot be read and comes again with every resume. Listing anew gets past both.
constexpr int kBarrenWatches = 2;

bool TooLargeVersion(int code, std::string_view message) {
  return code == 504 && message.find("Too large resource version") != std::string_view::npos;
}

}  // namespace

Reflector::Reflector(Resource resource, const ApiOptions& options, ServerLink& link, Sink& sink)
    : resource_(std::move(resource)),
      options_(options),
      link_(link),
      sink_(sink),
      problems_(sink),
      backoff_(options.backoff_min, options.backoff_max),
      thread_([this] { Run(); }) {}

Reflector::~Reflector() {
  RequestStop();
  thread_.join();
}

void Reflector::RequestStop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  stop_changed_.notify_all();
}

bool Reflector::Sleep(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stop_changed_.wait_for(lock, time, [this] { return stopping_; });
}

void Reflector::Run() {
  while (Sleep(std::chrono::milliseconds(0))) {
    if (!version_.empty()) {
      Settle(Watch(), "watch");
    } else if (watch_list_ && link_.watch_list) {
      Settle(WatchList(), "watch");
    } else {
      Settle(List(), "list");
    }
  }
}

// Draws the consequences of a request: what to say, where to go on, how long to wait.
void Reflector::Settle(Outcome outcome, const std::string& verb) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;  // what failed failed because of that
  }
  if (outcome.progress) backoff_.Reset();
  if (!outcome.problem.empty()) {
    problems_.ServerTrouble({resource_.plural + " " + verb, std::move(outcome.problem)});
  }
  if (outcome.kind == Outcome::Kind::kExpired) {
    spdlog::info("{}: the version last seen is gone, listing again", resource_.plural);
    version_.clear();
  }
  if (outcome.kind == Outcome::Kind::kAbsent) {
    version_.clear();
    if (!std::exchange(absent_, true)) PushReplace({}, std::chrono::steady_clock::now());
    Sleep(std::max(options_.optional_retry, outcome.wait));
    return;
  }
  if (outcome.kind == Outcome::Kind::kEnded && outcome.progress && !outcome.brief) return;
  Sleep(std::max(backoff_.Next(), std::min(outcome.wait, kLongestWait)));
}

// Pages are decoded one by one, so that the text of only one is in memory. The version is the first page's:
// what changed while later pages were read comes again with the watch.
Reflector::Outcome Reflector::List() {
  std::vector<Object> objects;
  std::vector<Problem> problems;
  std::string version;
  std::string continue_token;
  int limit = options_.page_size;
  TimePoint received;
  do {
    Outcome outcome;
    auto page = ReadPage(resource_.ListTarget(limit, continue_token), received, outcome);
    if (!page && outcome.kind == Outcome::Kind::kExpired && !continue_token.empty()) {
      // The snapshot behind the pages is gone. Once more in one piece, which cannot expire half-way.
      objects.clear();
      problems.clear();
      version.clear();
      continue_token.clear();
      limit = 0;
      continue;
    }
    if (!page) return outcome;
    if (version.empty()) version = page->resource_version;
    continue_token = page->continue_token;
    std::move(page->objects.begin(), page->objects.end(), std::back_inserter(objects));
    std::move(page->problems.begin(), page->problems.end(), std::back_inserter(problems));
  } while (!continue_token.empty() || version.empty());
  problems_.ServerWorks();
  problems_.BadObjects(std::move(problems));
  Synced(std::move(version), std::move(objects), received);
  return {.progress = true};
}

// On error `outcome` says what follows from it.
Result<ListPage> Reflector::ReadPage(const std::string& target, TimePoint& received, Outcome& outcome) {
  auto response = link_.client.Get(target, true, AnswerDeadline());
  if (!response) {
    outcome = Failed("list", response.error());
    return Unexpected(response.error());
  }
  if (response->status() != 200) {
    outcome = Refused("list", *response);
    return Fail(ErrorKind::kUnavailable, "status {}", response->status());
  }
  auto body = ReadAll(*response, kMaxListBytes);
  if (!body) {
    outcome = Failed("list", body.error());
    return Unexpected(body.error());
  }
  received = response->received();
  auto page = DecodeList(resource_.kind, *body);
  if (page && page->resource_version.empty()) {
    page = Fail(ErrorKind::kInvalid, "metadata.resourceVersion: expected text, got none");
  }
  if (!page) outcome = Failed("list", page.error());
  return page;
}

Reflector::Outcome Reflector::Watch() {
  auto response = link_.client.Get(resource_.WatchTarget(version_, WatchSeconds()), false, AnswerDeadline());
  if (!response) return Failed("watch", response.error());
  if (response->status() != 200) return Refused("watch", *response);
  const auto start = std::chrono::steady_clock::now();
  Outcome outcome = Follow(*response, nullptr);
  outcome.brief = std::chrono::steady_clock::now() - start < kBriefWatch;
  if (outcome.progress) {
    barren_ = 0;
  } else if (!outcome.broke && ++barren_ >= kBarrenWatches) {
    barren_ = 0;
    version_.clear();
  }
  return outcome;
}

Reflector::Outcome Reflector::WatchList() {
  auto response = link_.client.Get(resource_.WatchListTarget(WatchSeconds()), false, AnswerDeadline());
  if (!response) return Failed("watch", response.error());
  if (response->status() == 400 || response->status() == 422) {
    if (link_.watch_list.exchange(false)) {
      spdlog::info("{}: no WatchList here (status {}), listing instead", link_.client.access().server,
                   response->status());
    }
    return {.progress = true};
  }
  if (response->status() != 200) return Refused("watch", *response);
  InitialObjects initial;
  Outcome outcome = Follow(*response, &initial);
  // A stream that ends in order, or falls silent, short of its bookmark comes from a server or proxy that
  // does not know what was asked.
  if (version_.empty() && !outcome.broke && outcome.kind != Outcome::Kind::kExpired &&
      ++barren_ >= kBarrenWatches) {
    barren_ = 0;
    watch_list_ = false;
  }
  return outcome;
}

// Reads frames until the stream ends. With `initial`, objects are gathered there until the bookmark that
// completes them.
Reflector::Outcome Reflector::Follow(HttpResponse& response, InitialObjects* initial) {
  Outcome outcome;
  connected_ = true;
  struct Disconnect {
    std::atomic<bool>& connected;
    ~Disconnect() { connected = false; }
  } disconnect{connected_};
  std::string buffer;
  size_t scanned = 0;
  while (true) {
    auto more = response.Read(buffer, Deadline());
    if (!more) {
      const bool progress = outcome.progress;
      outcome = Failed("watch", more.error());
      outcome.progress = progress;
      return outcome;
    }
    if (!*more) break;
    size_t start = 0;
    for (size_t end; (end = buffer.find('\n', scanned)) != std::string::npos; start = scanned = end + 1) {
      const std::string_view frame = std::string_view(buffer).substr(start, end - start);
      if (!TakeFrame(frame, response.received(), initial, outcome)) return outcome;
    }
    buffer.erase(0, start);
    scanned = buffer.size();
    if (buffer.empty() && buffer.capacity() > kKeptBufferBytes) buffer = {};
    if (buffer.size() > options_.max_frame_bytes) return FrameTooLarge(outcome.progress);
  }
  if (!buffer.empty()) {
    outcome.kind = Outcome::Kind::kFailed;
    outcome.problem =
        fmt::format("the stream ended within an event ({} bytes of it); watching again", buffer.size());
  }
  return outcome;
}

Reflector::Outcome Reflector::FrameTooLarge(bool progress) const {
  return {
      .kind = Outcome::Kind::kFailed,
      .progress = progress,
      .problem = fmt::format("an event is larger than {} bytes; watching again", options_.max_frame_bytes)};
}

// False ends the watch; `outcome` says why.
bool Reflector::TakeFrame(std::string_view frame, TimePoint received, InitialObjects*& initial,
                          Outcome& outcome) {
  if (frame.empty()) return true;
  if (frame.size() > options_.max_frame_bytes) {
    outcome = FrameTooLarge(outcome.progress);
    return false;
  }
  BadObject bad;
  auto event = DecodeWatchEvent(resource_.kind, frame, &bad);
  if (!event && bad.name.name.empty() && bad.resource_version.empty()) {
    outcome.kind = Outcome::Kind::kFailed;
    outcome.problem = event.error().message + "; watching again";
    return false;
  }
  if (event && event->type == WatchEvent::Type::kError) {
    const bool gone = event->code == 410 || TooLargeVersion(event->code, event->message);
    outcome.kind = gone ? Outcome::Kind::kExpired : Outcome::Kind::kFailed;
    if (!gone)
      outcome.problem = fmt::format("the server ended the watch: {}: {}", event->code, event->message);
    return false;
  }
  if (!initial) outcome.progress = true;
  if (!initial && !bad.resource_version.empty()) version_ = bad.resource_version;
  if (!event) {
    problems_.BadObject(bad.name.ToString(), {resource_.plural + " watch", event.error().message});
    return true;
  }
  problems_.ServerWorks();
  if (initial && event->initial_events_end) {
    std::vector<Object> objects;
    objects.reserve(initial->size());
    for (auto& [name, object] : *initial) objects.push_back(std::move(object));
    initial->clear();
    initial = nullptr;
    outcome.progress = true;
    Synced(std::move(event->resource_version), std::move(objects), received);
    return true;
  }
  if (!initial && !event->resource_version.empty()) version_ = event->resource_version;
  last_event_s_ = UnixNow();
  if (event->type != WatchEvent::Type::kBookmark) TakeEvent(std::move(*event), received, initial);
  return true;
}

void Reflector::TakeEvent(WatchEvent event, TimePoint received, InitialObjects* initial) {
  ObjectName name = NameOf(event.object);
  const bool deleted = event.type == WatchEvent::Type::kDeleted;
  if (event.left_out.empty() || deleted) {
    problems_.GoodObject(name.ToString());
  } else {
    problems_.BadObject(name.ToString(),
                        {resource_.plural + " watch", fmt::format("{}", fmt::join(event.left_out, "; "))});
  }
  if (initial) {
    if (deleted) {
      initial->erase(name);
    } else {
      initial->insert_or_assign(std::move(name), std::move(event.object));
    }
    return;
  }
  Update update{.type = deleted ? Update::Type::kDelete : Update::Type::kUpsert,
                .kind = resource_.kind,
                .name = std::move(name),
                .objects = {},
                .received = received};
  if (!deleted) update.objects.push_back(std::move(event.object));
  sink_.Push(std::move(update));
}

// Every object there is at `version` is known.
void Reflector::Synced(std::string version, std::vector<Object> objects, TimePoint received) {
  version_ = std::move(version);
  absent_ = false;
  barren_ = 0;
  ++lists_;
  last_event_s_ = UnixNow();
  PushReplace(std::move(objects), received);
}

void Reflector::PushReplace(std::vector<Object> objects, TimePoint received) {
  sink_.Push({.type = Update::Type::kReplace,
              .kind = resource_.kind,
              .name = {},
              .objects = std::move(objects),
              .received = received});
}

WatchState Reflector::State() const {
  const uint64_t lists = lists_;
  return {resource_.kind, connected_, lists > 0 ? lists - 1 : 0, last_event_s_};
}

// An answer other than 200.
Reflector::Outcome Reflector::Refused(const char* verb, HttpResponse& response) {
  Outcome outcome{.kind = Outcome::Kind::kFailed};
  const int code = response.status();
  auto body = ReadAll(response, kMaxStatusBytes);
  const Status status = body ? DecodeStatus(*body) : Status{};
  std::string message = status.message.empty() && body ? body->substr(0, 200) : status.message;
  message.erase(message.find_last_not_of(" \r\n") + 1);
  outcome.wait = std::max(response.retry_after(), std::chrono::seconds(status.retry_after_s));
  if (code == 410 || TooLargeVersion(code, message)) {
    outcome.kind = Outcome::Kind::kExpired;
    return outcome;
  }
  outcome.problem = fmt::format("{}: cannot {} {}: {}: {}", link_.client.access().server, verb,
                                resource_.plural, code, message);
  if (code == 401) {
    link_.client.TokenRefused();
    outcome.problem += fmt::format(" (as {})", link_.client.access().user);
  }
  if (resource_.optional && (code == 403 || code == 404)) {
    outcome.kind = Outcome::Kind::kAbsent;
    if (code == 404) outcome.problem.clear();
  }
  return outcome;
}

Reflector::Outcome Reflector::Failed(const char* verb, const Error& error) const {
  return {.kind = Outcome::Kind::kFailed,
          .broke = error.code != ETIMEDOUT && error.kind == ErrorKind::kUnavailable,
          .problem = fmt::format("{}: cannot {} {}: {}", link_.client.access().server, verb, resource_.plural,
                                 error.message)};
}

Result<std::string> Reflector::ReadAll(HttpResponse& response, size_t limit) const {
  std::string body;
  while (true) {
    auto more = response.Read(body, Deadline());
    if (!more) return Unexpected(more.error());
    if (!*more) return body;
    if (body.size() > limit) return Fail(ErrorKind::kInvalid, "the response is larger than {} bytes", limit);
  }
}

long Reflector::WatchSeconds() {
  const long least = std::max<long>(options_.watch_timeout.count(), 1);
  return std::uniform_int_distribution<long>(least, 2 * least)(random_);
}

}  // namespace fairlead::kube
