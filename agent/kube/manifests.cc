// SPDX-License-Identifier: Apache-2.0
// Source: a file or a folder of manifests (OpenManifests of source.h). One thread: waits for inotify, lets a
// burst of writes settle, reads the files that changed, delivers the objects that differ.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "agent/base/fd.h"
#include "agent/base/log.h"
#include "agent/kube/manifests_read.h"
#include "agent/kube/manifests_set.h"
#include "agent/kube/manifests_watch.h"
#include "agent/kube/source.h"

namespace fairlead::kube {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kSettle{10};         // quiet time after which a burst of writes counts as one
constexpr milliseconds kSettleAtMost{100};  // a folder that is never quiet is read this often
constexpr milliseconds kMissing{100};       // an editor may move a file away before it writes the new one
constexpr milliseconds kFolderRetry{1000};
constexpr Kind kKinds[] = {Kind::kService, Kind::kEndpointSlice, Kind::kNode, Kind::kServiceCidr};

// Which bytes a name stood for when they were read.
struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  friend bool operator==(const Identity&, const Identity&) = default;
};

Identity IdentityOf(const struct stat& status) {
  auto ns = [](const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return {status.st_dev, status.st_ino, status.st_size, ns(status.st_mtim), ns(status.st_ctim)};
}

bool HasManifestName(std::string_view name) {
  return !name.starts_with(".") &&
         (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

Result<std::string> ReadAll(const Fd& file, size_t size) {
  std::string text(size, '\0');
  size_t at = 0;
  while (at < text.size()) {
    ssize_t got = ::read(file.Get(), text.data() + at, text.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "cannot be read");
    if (got == 0) break;  // shorter now than it was: its next event tells the rest
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

class ManifestSource : public Source {
 public:
  ManifestSource(std::string path, std::string folder, std::string only, FolderWatch watch, Fd stop)
      : path_(std::move(path)),
        folder_(std::move(folder)),
        only_(std::move(only)),
        watch_(std::move(watch)),
        stop_(std::move(stop)) {}

  ~ManifestSource() override {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(stop_.Get(), &one, sizeof(one));  // an eventfd takes it always
    if (thread_.joinable()) thread_.join();
  }

  void Start(Sink& sink) override {
    sink_ = &sink;
    thread_ = std::thread([this] { Run(); });
  }

  std::string Describe() const override { return "manifests " + path_; }

 private:
  void Run();
  bool Wait();  // false: stop
  void Note(FolderWatch::News news);
  Clock::time_point NextDeadline() const;

  void DeliverAll();
  void Process();
  void Load(const std::string& name, bool even_if_same, ManifestSet::Changes& changes);
  void Missing(const std::string& name, ManifestSet::Changes& changes);
  void Read(const std::string& name, const Fd& file, size_t size, ManifestSet::Changes& changes);
  void Refuse(const std::string& name, LineMessage fault);
  std::set<std::string> Names() const;
  void Deliver(ManifestSet::Changes changes);
  void Report(const std::string& name, std::vector<Problem> problems);

  const std::string path_;
  const std::string folder_;  // absolute
  const std::string only_;    // the one file of it that counts; empty: all with a manifest's name
  FolderWatch watch_;
  Fd stop_;
  Sink* sink_ = nullptr;
  std::thread thread_;

  // Of the thread alone from here on.
  ManifestSet set_;
  std::map<std::string, Identity> read_;                   // files as last read, by name
  std::map<std::string, std::set<std::string>> reported_;  // what was said of a file's present contents
  std::set<std::string> written_;                          // names with news
  std::set<std::string> unknown_;                          // files that have never been readable
  bool look_at_all_ = false;
  bool said_gone_ = false;                            // of the folder
  std::map<std::string, Clock::time_point> missing_;  // when a missing file is taken for removed
  std::optional<Clock::time_point> settled_;          // when the present burst counts as over
  Clock::time_point burst_began_{};
  Clock::time_point received_{};
};

void ManifestSource::Run() {
  received_ = Clock::now();
  ManifestSet::Changes first;
  for (const std::string& name : Names()) Load(name, true, first);
  DeliverAll();
  while (Wait()) {
    if (watch_.gone() && watch_.Reopen()) {
      look_at_all_ = true;
      settled_ = received_ = Clock::now();
    }
    if (watch_.gone() != said_gone_) {
      said_gone_ = watch_.gone();
      sink_->Report({folder_, said_gone_ ? "the folder is gone; its last contents stay in force"
                                         : "the folder is back"});
    }
    if (!watch_.gone() && Clock::now() >= NextDeadline()) Process();
  }
}

bool ManifestSource::Wait() {
  pollfd fds[] = {{watch_.fd(), POLLIN, 0}, {stop_.Get(), POLLIN, 0}};
  int timeout_ms = -1;
  if (watch_.gone()) {
    timeout_ms = static_cast<int>(kFolderRetry.count());
  } else if (auto deadline = NextDeadline(); deadline != Clock::time_point::max()) {
    auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    timeout_ms = static_cast<int>(std::max<int64_t>(left.count(), 0));
  }
  if (::poll(fds, 2, timeout_ms) > 0) {
    if (fds[1].revents != 0) return false;
    if (fds[0].revents != 0) Note(watch_.Read());
  }
  return true;
}

Clock::time_point ManifestSource::NextDeadline() const {
  auto next = settled_.value_or(Clock::time_point::max());
  for (const auto& [name, deadline] : missing_) next = std::min(next, deadline);
  return next;
}

void ManifestSource::Note(FolderWatch::News news) {
  auto now = Clock::now();
  bool something = news.everything;
  look_at_all_ |= news.everything;
  for (const std::string& name : news.names) {
    if (only_.empty() ? HasManifestName(name) : name == only_) {
      written_.insert(name);
      something = true;
    } else if (std::error_code error; fs::is_directory(fs::path(folder_) / name, error)) {
      // Manifests may be symlinks through a folder beside them that is swapped as a whole (ConfigMap
      // volumes).
      look_at_all_ = true;
      something = true;
    }
  }
  if (!something) return;
  if (!settled_) burst_began_ = now;
  received_ = now;
  settled_ = std::min(now + kSettle, burst_began_ + kSettleAtMost);
}

void ManifestSource::DeliverAll() {
  for (Kind kind : kKinds) {
    Update update;
    update.type = Update::Type::kReplace;
    update.kind = kind;
    update.objects = set_.All(kind);
    update.complete = unknown_.empty();
    update.received = received_;
    sink_->Push(std::move(update));
  }
}

void ManifestSource::Process() {
  settled_.reset();
  std::set<std::string> written = std::move(written_);
  written_.clear();
  std::set<std::string> names = written;
  if (std::exchange(look_at_all_, false)) {
    names.merge(Names());
    for (const auto& [name, identity] : read_) names.insert(name);
  }
  auto now = Clock::now();
  for (const auto& [name, deadline] : missing_) {
    if (deadline <= now) names.insert(name);
  }
  ManifestSet::Changes changes;
  bool complete = unknown_.empty();
  for (const std::string& name : names) Load(name, written.contains(name), changes);
  if (!complete && unknown_.empty()) return DeliverAll();
  Deliver(std::move(changes));
}

// Every file the source should know, present or not.
std::set<std::string> ManifestSource::Names() const {
  if (!only_.empty()) return {only_};
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename();
    if (HasManifestName(name)) names.insert(std::move(name));
  }
  return names;
}

void ManifestSource::Load(const std::string& name, bool even_if_same, ManifestSet::Changes& changes) {
  // O_NONBLOCK: a FIFO must not hold the thread.
  Fd file(::open((folder_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file && errno == ENOENT) return Missing(name, changes);
  missing_.erase(name);
  struct stat status{};
  if (!file || ::fstat(file.Get(), &status) != 0) {
    return Refuse(name, {0, fmt::format("cannot be opened: {}", ::strerror(errno))});
  }
  if (!S_ISREG(status.st_mode)) return Refuse(name, {0, "is no regular file"});
  Identity identity = IdentityOf(status);
  if (auto it = read_.find(name); it != read_.end() && it->second == identity && !even_if_same) return;
  read_[name] = identity;
  Read(name, file, static_cast<size_t>(status.st_size), changes);
}

void ManifestSource::Missing(const std::string& name, ManifestSet::Changes& changes) {
  if (!read_.contains(name) && !set_.Holds(name)) return;
  auto now = Clock::now();
  if (auto [it, first] = missing_.emplace(name, now + kMissing); first || it->second > now) return;
  missing_.erase(name);
  unknown_.erase(name);
  read_.erase(name);
  reported_.erase(name);
  set_.Remove(name, changes);
}

void ManifestSource::Read(const std::string& name, const Fd& file, size_t size,
                          ManifestSet::Changes& changes) {
  if (size > kMaxManifestBytes) {
    return Refuse(name, {0, fmt::format("is larger than {} MiB", kMaxManifestBytes >> 20)});
  }
  auto text = ReadAll(file, size);
  if (!text) return Refuse(name, {0, text.error().message});
  auto contents =
      ReadManifest(*text, name.ends_with(".json") ? ManifestFormat::kJson : ManifestFormat::kYaml);
  if (!contents) return Refuse(name, contents.error());
  unknown_.erase(name);
  ManifestSet::Changes own;
  set_.Replace(name, *std::move(contents), own);
  changes.keys.merge(own.keys);
  Report(name, std::move(own.problems));
}

void ManifestSource::Refuse(const std::string& name, LineMessage fault) {
  if (!set_.Holds(name)) unknown_.insert(name);
  std::string source = fault.line > 0 ? fmt::format("{}:{}", name, fault.line) : name;
  fault.message +=
      set_.Holds(name) ? "; its last good contents stay in force" : "; nothing of it is in force";
  Report(name, {{std::move(source), std::move(fault.message)}});
}

// What was said already of the contents before is not said again.
void ManifestSource::Report(const std::string& name, std::vector<Problem> problems) {
  std::set<std::string> before = std::move(reported_[name]);
  std::set<std::string>& now = reported_[name];
  now.clear();
  for (Problem& problem : problems) {
    now.insert(problem.message);
    if (!before.contains(problem.message)) sink_->Report(std::move(problem));
  }
  if (now.empty()) reported_.erase(name);
}

void ManifestSource::Deliver(ManifestSet::Changes changes) {
  auto push = [this](Update::Type type, const ObjectKey& key, std::optional<Object> object) {
    Update update;
    update.type = type;
    update.kind = key.kind;
    update.name = key.name;
    if (object) update.objects.push_back(*std::move(object));
    update.received = received_;
    sink_->Push(std::move(update));
  };
  // What goes makes room for what comes: a renamed Service keeps its address.
  std::vector<ObjectKey> there;
  for (const ObjectKey& key : changes.keys) {
    if (set_.Has(key)) {
      there.push_back(key);
    } else {
      push(Update::Type::kDelete, key, std::nullopt);
    }
  }
  for (const ObjectKey& key : there) push(Update::Type::kUpsert, key, set_.Find(key));
}

}  // namespace

Result<std::unique_ptr<Source>> OpenManifests(const std::string& path) {
  std::error_code error;
  fs::path absolute = fs::absolute(path, error).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // "manifests/"
  fs::file_status status = fs::status(absolute, error);
  std::string folder = absolute;
  std::string only;
  if (fs::is_regular_file(status)) {
    folder = absolute.parent_path();
    only = absolute.filename();
  } else if (!fs::is_directory(status)) {
    return Fail(ErrorKind::kInvalid, "{}: expected a file or a folder of manifests{}", path,
                fs::exists(status) ? "" : ", there is nothing");
  }
  auto watch = FolderWatch::Open(folder);
  if (!watch) return std::unexpected(std::move(watch).error());
  Fd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return FailErrno(errno, "eventfd");
  return std::make_unique<ManifestSource>(path, std::move(folder), std::move(only), *std::move(watch),
                                          std::move(stop));
}

}  // namespace fairlead::kube
