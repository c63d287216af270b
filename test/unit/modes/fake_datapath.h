// SPDX-License-Identifier: Apache-2.0
// A datapath that writes down what it is asked for, and fails where it is told to.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"

namespace fairlead::test {

// What several fakes of a test do, in one order: "nftables: Commit", "ebpf: +shop/cart:http/TCP IPv4".
using Journal = std::vector<std::string>;

class FakeDatapath : public datapath::Datapath {
 public:
  FakeDatapath(std::string name, Journal& journal) : name_(std::move(name)), journal_(journal) {}
  ~FakeDatapath() override { Write("ends"); }

  std::string_view Name() const override { return name_; }
  std::vector<datapath::Failure> Apply(std::span<const plan::Change> changes) override {
    std::vector<datapath::Failure> failures;
    for (const plan::Change& change : changes) {
      Write((change.now ? "+" : "-") + change.key.ToString());
      if (fails.contains("Apply")) failures.push_back({change, Refusal("Apply")});
    }
    return failures;
  }
  Result<void> ApplyNode(const plan::NodePlan&) override { return Do("ApplyNode"); }
  Result<void> Commit() override { return Do("Commit"); }
  Result<void> Prune() override { return Do("Prune"); }
  std::optional<std::chrono::steady_clock::time_point> Reconcile() override { return next; }
  int event_fd() const override { return event; }
  std::vector<datapath::Refusal> Refused() const override { return refused; }
  std::vector<datapath::Usage> Usages() const override { return {{name_, 1, 2}}; }
  std::vector<datapath::VerdictCount> Verdicts() const override { return {}; }
  uint64_t BytesWritten() const override { return 100; }
  datapath::RuleReadings Rules() const override {
    datapath::RuleReadings rules;
    rules.failures[0] = 7;
    return rules;
  }

  std::set<std::string> fails;  // names of functions
  std::vector<datapath::Refusal> refused;
  std::optional<std::chrono::steady_clock::time_point> next;
  int event = -1;

 private:
  Error Refusal(const std::string& what) const {
    return {ErrorKind::kUnavailable, 0, name_ + " refuses " + what};
  }
  Result<void> Do(const std::string& what) {
    Write(what);
    if (fails.contains(what)) return std::unexpected(Refusal(what));
    return {};
  }
  void Write(const std::string& what) { journal_.push_back(name_ + ": " + what); }

  std::string name_;
  Journal& journal_;
};

}  // namespace fairlead::test
