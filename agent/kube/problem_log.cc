// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/problem_log.h"

#include <utility>

namespace fairlead::kube {
namespace {

// A server that sends nothing but distinct trouble must not fill memory with our memory of it.
constexpr size_t kRemembered = 4096;

}  // namespace

void ProblemLog::ServerTrouble(Problem problem) {
  if (said_.size() >= kRemembered) said_.clear();
  if (said_.insert(problem.source + problem.message).second) sink_.Report(std::move(problem));
}

void ProblemLog::BadObject(const std::string& object, Problem problem) {
  if (bad_.contains(problem.message)) return;
  if (bad_.size() >= kRemembered) bad_.clear();
  std::string& said = bad_[object];
  if (said == problem.message) return;
  said = problem.message;
  sink_.Report(std::move(problem));
}

void ProblemLog::GoodObject(const std::string& object) {
  if (!bad_.empty()) bad_.erase(object);
}

void ProblemLog::BadObjects(std::vector<Problem> problems) {
  std::set<std::string> known;
  for (auto& [object, message] : bad_) known.insert(std::move(message));
  bad_.clear();
  for (Problem& problem : problems) {
    if (bad_.size() < kRemembered) bad_[problem.message] = problem.message;
    if (known.insert(problem.message).second) sink_.Report(std::move(problem));
  }
}

}  // namespace fairlead::kube
