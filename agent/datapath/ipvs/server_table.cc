// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/server_table.h"

#include <algorithm>
#include <utility>

namespace fairlead::ipvs {

namespace {

// What a step's errno means to whoever reads the log.
Error ErrorOf(const Step& step, int code) {
  if (code == ENOENT && (step.verb == Verb::kAddServer || step.verb == Verb::kSetServer))
    return Fail(ErrorKind::kUnsupported, "IPVS: {}: scheduler {}: this kernel has no module ip_vs_{}",
                step.server.ToString(), step.options.scheduler, step.options.scheduler)
        .error();
  return FailErrno(code, "IPVS: {}", step.ToString()).error();
}

// What is already so: somebody else did it since we looked.
bool IsDone(const Step& step, int code) {
  return (step.verb == Verb::kRemoveServer && code == ESRCH) ||
         (step.verb == Verb::kRemoveBackend && (code == ENOENT || code == ESRCH));
}

}  // namespace

Result<void> ServerTable::Load(const IsOurs& is_ours) {
  auto listed = kernel_.List();
  if (!listed) return std::unexpected(std::move(listed.error()));
  present_ = std::move(*listed);
  foreign_.clear();
  draining_.clear();
  for (const auto& [key, server] : present_) {
    if (!is_ours(key)) foreign_.insert(key);
  }
  return {};
}

const PresentServer* ServerTable::Present(const ServerKey& key) const {
  const auto it = present_.find(key);
  return it == present_.end() ? nullptr : &it->second;
}

bool ServerTable::HasAddress(const Address& address) const {
  for (auto it = present_.lower_bound({address, 0, {}}); it != present_.end(); ++it) {
    if (it->first.address != address) return false;
    if (!foreign_.contains(it->first)) return true;
  }
  return false;
}

std::vector<ServerKey> ServerTable::Keys() const {
  std::vector<ServerKey> keys;
  keys.reserve(size());
  for (const auto& [key, server] : present_) {
    if (!foreign_.contains(key)) keys.push_back(key);
  }
  return keys;
}

// Whether the server drains from now on. One that is wanted is ours from then on.
void ServerTable::Note(const ServerKey& key, const Wanted& wanted) {
  const VirtualServer* server = wanted(key);
  const PresentServer* present = Present(key);
  if (server != nullptr) foreign_.erase(key);
  if (present != nullptr && !foreign_.contains(key) && Drains(server, *present)) {
    draining_.insert(key);
  } else {
    draining_.erase(key);
  }
}

std::map<ServerKey, Error> ServerTable::BringOnce(std::span<const ServerKey> keys, const Wanted& wanted) {
  std::vector<Step> steps;
  std::vector<Task> tasks;
  for (const ServerKey& key : keys) {
    const VirtualServer* server = wanted(key);
    if (server == nullptr && foreign_.contains(key)) continue;
    std::vector<Step> own = StepsTo(key, server, Present(key));
    tasks.push_back({key, steps.size(), own.size()});
    std::ranges::move(own, std::back_inserter(steps));
  }
  std::map<ServerKey, Error> failed;
  std::vector<int> codes;
  if (!steps.empty()) {
    auto done = kernel_.Do(steps);
    if (!done) {
      for (const Task& task : tasks) failed.emplace(task.key, done.error());
      return failed;
    }
    codes = std::move(*done);
  }
  for (const Task& task : tasks) {
    for (size_t i = task.first; i < task.first + task.count; ++i) {
      if (codes[i] != 0 && !IsDone(steps[i], codes[i])) {
        failed.emplace(task.key, ErrorOf(steps[i], codes[i]));
        break;
      }
      Replay(steps[i], present_);
      ++steps_;
    }
    Note(task.key, wanted);
  }
  return failed;
}

std::map<ServerKey, Error> ServerTable::Bring(std::span<const ServerKey> keys, const Wanted& wanted) {
  std::map<ServerKey, Error> failed = BringOnce(keys, wanted);
  if (failed.empty()) return failed;
  std::vector<ServerKey> again;
  for (const auto& [key, error] : failed) again.push_back(key);
  if (!Look(again)) return failed;
  return BringOnce(again, wanted);
}

// The kernel has no word for one virtual server with its backends, and a failure is rare: the whole list.
Result<void> ServerTable::Look(std::span<const ServerKey> keys) {
  auto listed = kernel_.List();
  if (!listed) return std::unexpected(std::move(listed.error()));
  for (const ServerKey& key : keys) {
    present_.erase(key);
    if (auto found = listed->extract(key)) present_.insert(std::move(found));
  }
  return {};
}

std::vector<ServerKey> ServerTable::Sweep(const Wanted& wanted) {
  std::vector<ServerKey> gone;
  for (const ServerKey& key : std::vector(draining_.begin(), draining_.end())) {
    const PresentServer* present = Present(key);
    auto connections = kernel_.ConnectionsOf(key);
    if (present == nullptr || (!connections && connections.error().kind == ErrorKind::kNotFound)) {
      present_.erase(key);  // somebody removed it
      draining_.erase(key);
      gone.push_back(key);
      continue;
    }
    if (!connections) continue;  // the next sweep asks again
    const std::vector<Step> steps = Drained(key, wanted(key), *present, *connections);
    if (steps.empty()) continue;
    const auto codes = kernel_.Do(steps);
    if (!codes) continue;
    for (size_t i = 0; i < steps.size(); ++i) {
      if ((*codes)[i] != 0 && !IsDone(steps[i], (*codes)[i])) continue;
      Replay(steps[i], present_);
      ++steps_;
    }
    Note(key, wanted);
    if (!present_.contains(key)) gone.push_back(key);
  }
  return gone;
}

}  // namespace fairlead::ipvs
