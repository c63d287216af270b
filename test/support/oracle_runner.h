// SPDX-License-Identifier: Apache-2.0
// Plays an oracle case on real sockets: applies its states to an agent on n1, sends its flows from where they
// start, asks the node's servers, and has the judge (oracle_judge.h) compare.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/support/agent.h"
#include "test/support/capture.h"
#include "test/support/oracle_case.h"
#include "test/support/oracle_judge.h"

namespace fairlead::test {

// What a case held, by how it was treated.
struct OracleCount {
  int at_sockets = 0, packets_here = 0, from_elsewhere = 0;  // flows judged, by where they are translated
  int entries = 0, health_checks = 0, http = 0, metrics = 0;
  int sctp = 0, skipped = 0;  // flows not judged: this kernel has no SCTP; the mode is said to differ

  int Judged() const {
    return at_sockets + packets_here + from_elsewhere + entries + health_checks + http + metrics;
  }
  OracleCount& operator+=(const OracleCount& other);
  std::string ToString() const;  // of what was judged
};

class OracleRunner {
 public:
  // `mode` is the agent's.
  OracleRunner(Lab& lab, Agent& agent, Mode mode) : lab_(lab), agent_(agent), mode_(mode) {}

  // Failures as sentences: "step: flow: expected ..., got ...". Leaves no object behind.
  std::vector<std::string> Play(const OracleCase& played);
  const OracleCount& Count() const { return count_; }

 private:
  // A flow that stands on its backend when a step begins.
  struct Standing {
    const OracleEntry* entry;
    std::unique_ptr<Client> client;  // null: none came to stand on it
  };

  void PlayStep(const OracleStep& step);
  void PlayFlow(const OracleFlow& flow);
  void PlayHealthCheck(const OracleHealthCheck& check);
  void PlayHttp(const OracleHttp& http);
  void PlayMetric(const OracleMetric& metric);
  // What goes, goes last in ipvs mode: waits until what the last state does not have is gone.
  void AwaitLeaving();
  // A flow of before may stay on its old way until its entry of nf_conntrack is gone.
  bool AwaitClearing(const std::function<bool()>& done) const;
  Failure PlayBackends(const OracleFlow& flow);
  Failure PlayUnreached(const OracleFlow& flow);
  OracleSeen Try(const OracleFlow& flow);
  Client& KeptSocket(const OracleFlow& flow);
  const Namespace& HomeOf(OracleFlow::From from, const std::string& ip);
  // The client's options: an address where its host has several and they matter.
  ClientOptions OptionsOf(const OracleFlow& flow, std::chrono::milliseconds timeout) const;

  Standing Establish(const OracleEntry& entry);
  Failure JudgeStanding(Standing& standing) const;
  void Fail(std::string what) { failures_.push_back(std::move(what)); }

  Lab& lab_;
  Agent& agent_;
  Mode mode_;
  OracleCount count_;
  std::vector<std::string> failures_;
  std::map<std::string, std::unique_ptr<Client>> sockets_;  // of sameSocket flows, by flow name
  std::map<std::string, std::string> stuck_;                // sticky flow name -> its backend
};

}  // namespace fairlead::test
