// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/udp_flows.h"

#include <netinet/in.h>

#include <array>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "agent/datapath/netfilter/conntrack.h"
#include "agent/datapath/netfilter/pass_schedule.h"
#include "agent/datapath/netfilter/udp_destinations.h"

namespace fairlead::netfilter {

namespace {

using Clock = UdpFlows::Clock;

// What one Poll takes of the thread while a pass is under way: a change of a Service waits no longer.
constexpr auto kSlice = std::chrono::milliseconds(5);

constexpr std::array kFamilies{Family::kIpv4, Family::kIpv6};

size_t Index(Family family) {
  return family == Family::kIpv4 ? 0 : 1;
}

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

class ConntrackUdpFlows final : public UdpFlows {
 public:
  explicit ConntrackUdpFlows(Conntrack conntrack) : conntrack_(std::move(conntrack)) {}

  void Note(std::span<const plan::Change> changes) override;
  void SetNode(const plan::NodePlan& node) override;
  std::optional<Clock::time_point> Poll(Clock::time_point now) override;
  std::vector<UdpPass> Take() override { return std::exchange(passes_, {}); }

 private:
  // A pass under way: one family after the other.
  struct Walk {
    Clock::time_point began{};
    size_t family = 0;  // of kFamilies
    bool asked = false;
    Clock::duration cost{};         // of all families
    Clock::duration family_cost{};  // of this one
    uint64_t deleted = 0;           // likewise
    std::optional<Error> failed;    // an entry that could not be removed; the rest was looked at
  };

  bool Empty() const { return destinations_[0].Empty() && destinations_[1].Empty(); }
  // A part of the pass; true once it is through.
  Result<bool> Step(Clock::time_point until);
  void EndFamily();
  void End(Clock::time_point now);
  void GiveUp(const Error& error, Clock::time_point now);

  std::optional<Conntrack> conntrack_;  // nothing after a failure
  std::array<UdpDestinations, 2> destinations_;
  PassSchedule schedule_;
  std::optional<Walk> walk_;
  std::vector<UdpPass> passes_;
  std::string last_error_;
};

void ConntrackUdpFlows::Note(std::span<const plan::Change> changes) {
  const auto now = Clock::now();
  bool stale = false;
  for (const plan::Change& change : changes) {
    if (change.key.protocol == plan::Protocol::kUdp)
      stale |= destinations_[Index(change.key.family)].Note(change, now);
  }
  if (stale) schedule_.Changed(now);
}

void ConntrackUdpFlows::SetNode(const plan::NodePlan& node) {
  bool stale = false;
  for (const Family family : kFamilies) stale |= destinations_[Index(family)].SetNode(node, family);
  if (stale && !Empty()) schedule_.Changed(Clock::now());
}

std::optional<Clock::time_point> ConntrackUdpFlows::Poll(Clock::time_point now) {
  if (!walk_) {
    if (Empty()) return std::nullopt;
    if (!schedule_.Due(now)) return schedule_.due();
    schedule_.Began(now);
    walk_.emplace().began = now;
  }
  const auto begin = Clock::now();
  auto through = Step(begin + kSlice);
  const auto cost = Clock::now() - begin;
  if (!through) {
    conntrack_.reset();  // what the kernel still has to say of this walk would disturb the next one
    GiveUp(through.error(), now);
  } else if (walk_->cost += cost; *through) {
    End(now + cost);
  } else {
    return now;
  }
  return schedule_.due();
}

Result<bool> ConntrackUdpFlows::Step(Clock::time_point until) {
  if (!conntrack_) {
    auto opened = Conntrack::Open();
    if (!opened) return std::unexpected(opened.error());
    conntrack_.emplace(std::move(*opened));
  }
  while (walk_->family < kFamilies.size()) {
    const auto begin = Clock::now();
    if (begin >= until) return false;
    if (destinations_[walk_->family].Empty()) {
      ++walk_->family;
      continue;
    }
    if (!std::exchange(walk_->asked, true)) {
      auto begun = conntrack_->Begin({.family = kFamilies[walk_->family], .protocol = IPPROTO_UDP});
      if (!begun) return std::unexpected(begun.error());
    }
    std::vector<ConntrackEntry> stale;
    auto more = conntrack_->Continue([&](const ConntrackEntry& entry) {
      if (destinations_[walk_->family].Stale(entry)) stale.push_back(entry);
    });
    if (!more) return std::unexpected(more.error());
    auto deleted = conntrack_->Delete(stale, walk_->deleted);
    if (!deleted) walk_->failed = deleted.error();
    walk_->family_cost += Clock::now() - begin;
    if (!*more) EndFamily();
  }
  return true;
}

void ConntrackUdpFlows::EndFamily() {
  const Family family = kFamilies[walk_->family];
  passes_.push_back({family, Seconds(walk_->family_cost), walk_->deleted});
  if (walk_->deleted != 0)
    spdlog::debug("conntrack: {} stale UDP entries of {} removed", walk_->deleted, FamilyName(family));
  ++walk_->family;
  walk_->asked = false;
  walk_->family_cost = {};
  walk_->deleted = 0;
}

void ConntrackUdpFlows::End(Clock::time_point now) {
  if (walk_->failed) return GiveUp(*walk_->failed, now);
  for (UdpDestinations& each : destinations_) each.Forget(walk_->began - PassSchedule::kUnderWay);
  schedule_.Ended(now, walk_->cost);
  walk_.reset();
  if (!std::exchange(last_error_, {}).empty()) spdlog::info("conntrack: stale UDP entries are removed again");
}

void ConntrackUdpFlows::GiveUp(const Error& error, Clock::time_point now) {
  if (error.message != last_error_)
    spdlog::warn("UDP flows to backends that are gone may go on: {}; trying again", error.message);
  last_error_ = error.message;
  walk_.reset();
  schedule_.Failed(now);
}

}  // namespace

Result<std::unique_ptr<UdpFlows>> UdpFlows::Open() {
  auto conntrack = Conntrack::Open();
  if (!conntrack) return std::unexpected(conntrack.error());
  return std::make_unique<ConntrackUdpFlows>(std::move(*conntrack));
}

}  // namespace fairlead::netfilter
