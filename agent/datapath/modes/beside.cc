// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/beside.h"

#include <sys/epoll.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/base/log.h"

namespace fairlead::modes {

namespace {

constexpr std::chrono::seconds kTryAgain{10};

bool ForSecond(const plan::Change& change) {
  return change.key.protocol == plan::Protocol::kSctp;
}

}  // namespace

Beside::Beside(std::unique_ptr<datapath::Datapath> first, Second how)
    : first_(std::move(first)), how_(std::move(how)) {}

Result<std::unique_ptr<Beside>> Beside::Create(std::unique_ptr<datapath::Datapath> first, Second how) {
  std::unique_ptr<Beside> self(new Beside(std::move(first), std::move(how)));
  self->events_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!self->events_) return FailErrno(errno, "epoll");
  self->Watch(*self->first_);
  return self;
}

// A descriptor that is closed leaves the epoll by itself.
void Beside::Watch(const datapath::Datapath& datapath) {
  if (datapath.event_fd() < 0) return;
  epoll_event readable{.events = EPOLLIN, .data = {}};
  if (::epoll_ctl(events_.Get(), EPOLL_CTL_ADD, datapath.event_fd(), &readable) != 0)
    spdlog::error("{}: epoll: {}; its events wait for the next pass", datapath.Name(), std::strerror(errno));
}

std::shared_ptr<datapath::Datapath> Beside::SharedSecond() const {
  std::lock_guard lock(mutex_);
  return second_;
}

// --- what is served

std::vector<datapath::Failure> Beside::Apply(std::span<const plan::Change> changes) {
  std::vector<plan::Change> first, second;
  for (const plan::Change& change : changes) (ForSecond(change) ? second : first).push_back(change);
  // The first one's flips are seen at once: they come last, so that who sees one knows all of it in force.
  std::vector<datapath::Failure> failures;
  if (!second.empty()) failures = ApplySecond(std::move(second));
  if (!first.empty()) std::ranges::move(first_->Apply(first), std::back_inserter(failures));
  return failures;
}

std::vector<datapath::Failure> Beside::ApplySecond(std::vector<plan::Change> changes) {
  for (const plan::Change& change : changes) {
    if (change.now) {
      sctp_.insert_or_assign(change.key, change);
    } else {
      sctp_.erase(change.key);
    }
  }
  if (sctp_.empty()) {
    CloseSecond();
    return {};
  }
  if (!second_) {
    auto opened = OpenSecond();
    std::vector<datapath::Failure> failures;
    if (!opened) {
      for (plan::Change& change : changes) {
        Error error = opened.error();
        if (change.now) failures.push_back({change, std::move(error).In(change.key.ToString())});
      }
      return failures;
    }
    changes.clear();
    for (const auto& [key, change] : sctp_) changes.push_back(change);
  }
  std::vector<datapath::Failure> failures = second_->Apply(changes);
  if (Owes()) Settle();
  return failures;
}

Result<void> Beside::OpenSecond() {
  auto opened = how_.open();
  if (!opened) return std::unexpected(opened.error());
  spdlog::info("SCTP: served by {} beside {}", (*opened)->Name(), first_->Name());
  Watch(**opened);
  {
    std::lock_guard lock(mutex_);
    second_ = std::move(*opened);
  }
  clean_up_due_ = false;
  commit_due_ = committed_;
  prune_due_ = pruned_;
  node_due_ = node_ && !second_->ApplyNode(*node_);
  return {};
}

void Beside::CloseSecond() {
  if (!second_) return;
  spdlog::info("SCTP: no Service needs {} any more", second_->Name());
  closed_ = second_->Name();
  bytes_before_ += second_->BytesWritten();
  {
    std::lock_guard lock(mutex_);
    second_.reset();
  }
  node_due_ = commit_due_ = prune_due_ = false;
  clean_up_due_ = true;
  Settle();
}

// --- what the second one owes

Result<void> Beside::TrySettle() {
  if (clean_up_due_) {
    auto cleaned = how_.clean_up(closed_);
    clean_up_due_ = !cleaned;
    return cleaned;
  }
  const auto pay = [&](bool& due, auto&& work) -> Result<void> {
    if (!due) return {};
    Result<void> outcome = work();
    due = !outcome;
    return outcome;
  };
  if (auto node = pay(node_due_, [&] { return second_->ApplyNode(*node_); }); !node) return node;
  if (auto commit = pay(commit_due_, [&] { return second_->Commit(); }); !commit) return commit;
  return pay(prune_due_, [&] { return second_->Prune(); });
}

// One word on a failure while it lasts.
void Beside::Settle() {
  auto settled = TrySettle();
  if (!settled && settled.error().message != last_error_.message)
    spdlog::error("SCTP: {}; trying again", settled.error().message);
  last_error_ = settled ? Error() : settled.error();
  again_at_ = how_.now() + kTryAgain;
}

Result<void> Beside::ApplyNode(const plan::NodePlan& node) {
  node_ = node;
  auto applied = first_->ApplyNode(node);
  node_due_ = second_ != nullptr;
  if (Owes()) Settle();
  return applied;
}

Result<void> Beside::Commit() {
  auto committed = first_->Commit();
  if (!std::exchange(committed_, true)) commit_due_ = second_ != nullptr;
  if (Owes()) Settle();
  return committed;
}

Result<void> Beside::Prune() {
  auto pruned = first_->Prune();
  if (!std::exchange(pruned_, true)) prune_due_ = second_ != nullptr;
  if (Owes()) Settle();
  return pruned;
}

std::optional<Beside::Clock::time_point> Beside::Reconcile() {
  if (Owes() && how_.now() >= again_at_) Settle();
  auto next = first_->Reconcile();
  const auto sooner = [&](std::optional<Clock::time_point> other) {
    if (other) next = std::min(next.value_or(*other), *other);
  };
  if (second_) sooner(second_->Reconcile());
  if (Owes()) sooner(again_at_);
  return next;
}

// --- what is measured

std::vector<datapath::Refusal> Beside::Refused() const {
  std::vector<datapath::Refusal> refusals = first_->Refused();
  if (!second_) return refusals;
  if (!commit_due_) {
    std::ranges::move(second_->Refused(), std::back_inserter(refusals));
    return refusals;
  }
  for (const auto& [key, change] : sctp_) refusals.push_back({key, Error(last_error_).In(key.ToString())});
  return refusals;
}

std::vector<datapath::Usage> Beside::Usages() const {
  std::vector<datapath::Usage> usages = first_->Usages();
  if (second_) std::ranges::move(second_->Usages(), std::back_inserter(usages));
  return usages;
}

uint64_t Beside::BytesWritten() const {
  return first_->BytesWritten() + bytes_before_ + (second_ ? second_->BytesWritten() : 0);
}

datapath::RuleReadings Beside::Rules() const {
  auto second = SharedSecond();
  if (!second) return {};
  datapath::RuleReadings rules = second->Rules();
  rules.datapath = second->Name();
  return rules;
}

std::vector<datapath::FlowPass> Beside::TakeFlowPasses() {
  return second_ ? second_->TakeFlowPasses() : std::vector<datapath::FlowPass>();
}

std::vector<datapath::Share> Beside::Shares() const {
  if (!second_) return {};
  return {{second_->Name(), sctp_.size()}};
}

}  // namespace fairlead::modes
