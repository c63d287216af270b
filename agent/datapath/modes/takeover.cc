// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/takeover.h"

#include <algorithm>
#include <utility>

#include "agent/base/log.h"

namespace fairlead::modes {

namespace {

constexpr std::chrono::seconds kKeepPeriod{30};
// kube-proxy looks for its canary chain every sync period, 30 s unless configured otherwise, and then writes
// everything (pkg/util/iptables/monitor.go).
constexpr std::chrono::seconds kLookAgainAfter{75};
constexpr size_t kMostLines = 20;

// The first failure stands for all.
void Note(Result<void>& first, Error error) {
  if (first) first = std::unexpected(std::move(error));
}

void SayEach(const std::vector<std::string>& lines, std::string_view what) {
  for (size_t i = 0; i < std::min(lines.size(), kMostLines); ++i)
    spdlog::info("kube-proxy: {} {}", what, lines[i]);
  if (lines.size() > kMostLines) spdlog::info("kube-proxy: {} {} more", what, lines.size() - kMostLines);
}

}  // namespace

Takeover::Takeover(std::unique_ptr<datapath::Datapath> inner, Leftovers leftovers, bool remove_kube_proxy)
    : inner_(std::move(inner)), leftovers_(std::move(leftovers)), remove_kube_proxy_(remove_kube_proxy) {}

Result<void> Takeover::Prune() {
  Result<void> outcome = inner_->Prune();
  if (leftovers_.keep_established) KeepEstablished();
  if (auto ended = EndOthers(); !ended) Note(outcome, ended.error());
  if (auto ended = EndKubeProxy(); !ended) Note(outcome, ended.error());
  return outcome;
}

Result<void> Takeover::EndOthers() {
  Result<void> outcome;
  for (const Leftovers::Other& other : leftovers_.others()) {
    auto cleaned = other.clean();
    if (!cleaned) {
      Note(outcome, Error(cleaned.error()).In(fmt::format("remove what {} mode left", other.name)));
    } else if (*cleaned) {
      spdlog::info("{} mode serves: what {} mode had left is removed", Name(), other.name);
    }
  }
  return outcome;
}

Result<void> Takeover::EndKubeProxy() {
  auto found = leftovers_.find_kube_proxy();
  if (!found) return std::unexpected(Error(found.error()).In("look for kube-proxy's rules"));
  if (found->empty()) return {};
  if (!remove_kube_proxy_) {
    SayEach(*found, "stays, as removeKubeProxy is off:");
    return {};
  }
  auto removed = leftovers_.remove_kube_proxy();
  if (!removed) return std::unexpected(Error(removed.error()).In("remove kube-proxy's rules"));
  SayEach(*found, "removed");
  look_again_at_ = leftovers_.now() + kLookAgainAfter;
  return {};
}

void Takeover::KeepEstablished() {
  auto kept = leftovers_.keep_established();
  if (!kept && last_error_ != kept.error().message)
    spdlog::warn("connections that nf_conntrack translates: {}; trying again", kept.error().message);
  last_error_ = kept ? "" : kept.error().message;
  keep_at_ = leftovers_.now() + kKeepPeriod;
}

void Takeover::LookAgain() {
  look_again_at_.reset();
  auto found = leftovers_.find_kube_proxy();
  if (!found || found->empty()) return;
  spdlog::warn(
      "kube-proxy's rules are back ({}, {} in all): it still runs on this node. They stay from now on; end "
      "it, "
      "or say removeKubeProxy: false",
      found->front(), found->size());
}

datapath::RuleReadings Takeover::Rules() const {
  datapath::RuleReadings rules = inner_->Rules();
  if (rules.datapath.empty()) rules.datapath = inner_->Name();
  return rules;
}

std::optional<Takeover::Clock::time_point> Takeover::Reconcile() {
  auto next = inner_->Reconcile();
  const auto now = leftovers_.now();
  if (keep_at_ && now >= *keep_at_) KeepEstablished();
  if (look_again_at_ && now >= *look_again_at_) LookAgain();
  for (const auto& due : {keep_at_, look_again_at_}) {
    if (due) next = std::min(next.value_or(*due), *due);
  }
  return next;
}

}  // namespace fairlead::modes
