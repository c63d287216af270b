// SPDX-License-Identifier: Apache-2.0
// What the tests of the API server source share: a sink that remembers, short times, objects in one line.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/kube/source.h"
#include "test/support/api_server.h"

namespace fairlead::test {

using kube::Kind;
using kube::Object;
using kube::Problem;
using kube::Update;

// Applies updates as the model does, and lets a test wait for a state.
class FakeSink : public kube::Sink {
 public:
  void Push(Update update) override {
    std::lock_guard lock(mutex_);
    auto& known = objects_[update.kind];
    if (update.type == Update::Type::kReplace) {
      known.clear();
      ++replaces_[update.kind];
    }
    if (update.type == Update::Type::kDelete) known.erase(update.name.ToString());
    for (const Object& object : update.objects) known[kube::NameOf(object).ToString()] = object;
    updates_.push_back(std::move(update));
    changed_.notify_all();
  }
  void Report(Problem problem) override {
    std::lock_guard lock(mutex_);
    problems_.push_back(problem.source + ": " + problem.message);
    changed_.notify_all();
  }

  // Waits until `done` holds for what is known; false after five seconds.
  bool Wait(const std::function<bool()>& done, std::chrono::milliseconds limit = std::chrono::seconds(5)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, done);
  }
  bool WaitForNames(Kind kind, const std::set<std::string>& names) {
    return Wait([&] { return replaces_[kind] > 0 && NamesOf(kind) == names; });
  }
  bool WaitForReplaces(Kind kind, int count) {
    return Wait([&] { return replaces_[kind] >= count; });
  }
  bool WaitForProblem(const std::string& part) {
    return Wait([&] {
      return std::ranges::any_of(problems_, [&](const auto& p) { return p.find(part) != p.npos; });
    });
  }

  bool WaitForProblems(size_t count) {
    return Wait([&] { return problems_.size() >= count; });
  }

  // For the condition given to Wait.
  size_t CountLocked(Kind kind) { return objects_[kind].size(); }

  std::set<std::string> Names(Kind kind) {
    std::lock_guard lock(mutex_);
    return NamesOf(kind);
  }
  template <typename T>
  T Get(Kind kind, const std::string& name) {
    std::lock_guard lock(mutex_);
    return std::get<T>(objects_[kind].at(name));
  }
  int Replaces(Kind kind) {
    std::lock_guard lock(mutex_);
    return replaces_[kind];
  }
  std::vector<std::string> Problems() {
    std::lock_guard lock(mutex_);
    return problems_;
  }
  std::vector<Update> Updates() {
    std::lock_guard lock(mutex_);
    return updates_;
  }

 private:
  std::set<std::string> NamesOf(Kind kind) {
    std::set<std::string> names;
    for (const auto& [name, object] : objects_[kind]) names.insert(name);
    return names;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Kind, std::map<std::string, Object>> objects_;
  std::map<Kind, int> replaces_;
  std::vector<Update> updates_;
  std::vector<std::string> problems_;
};

// JSON without white space, which edits below count on.
inline std::string Minified(const std::string& json) {
  std::string out(json.size(), 0);
  size_t size = 0;
  if (simdjson::minify(json.data(), json.size(), out.data(), size) != simdjson::SUCCESS) std::abort();
  out.resize(size);
  return out;
}

// A folder that goes with the test.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fairlead-kube-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  // Writes the file and returns its path.
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// Times short enough for tests; everything else as the agent has it.
inline kube::ApiOptions FastOptions() {
  kube::ApiOptions options;
  options.node_name = "n1";
  options.backoff_min = std::chrono::milliseconds(5);
  options.backoff_max = std::chrono::milliseconds(40);
  options.answer_timeout = std::chrono::seconds(5);
  options.idle_timeout = std::chrono::seconds(5);
  options.optional_retry = std::chrono::milliseconds(50);
  return options;
}

}  // namespace fairlead::test
