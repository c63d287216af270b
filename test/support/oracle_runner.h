// SPDX-License-Identifier: Apache-2.0
// Plays an oracle case on real sockets of one node: applies its states to an agent, sends the flows that
// start on the node, and compares under the rules of ebpf mode. Flows that arrive from elsewhere are counted,
// not judged.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "test/support/agent.h"
#include "test/support/capture.h"
#include "test/support/oracle_case.h"

namespace fairlead::test {

// What a case held, by how it was treated.
struct OracleCount {
  int flows = 0, http = 0;                                                     // judged
  int elsewhere = 0, sctp = 0, health_checks = 0, conntrack = 0, metrics = 0;  // not judged

  int Judged() const { return flows + http; }
  OracleCount& operator+=(const OracleCount& other);
  std::string NotJudged() const;  // "12 flows from elsewhere, 1 SCTP flow", empty for none
};

class OracleRunner {
 public:
  OracleRunner(Lab& lab, Agent& agent) : lab_(lab), agent_(agent) {}

  // Failures as sentences: "step/flow: expected ..., got ...". Leaves no object behind.
  std::vector<std::string> Play(const OracleCase& played);
  const OracleCount& Count() const { return count_; }

 private:
  struct Seen {
    Outcome outcome;
    int packets = 0;  // to the flow's own destination, on any device of the client's namespace
  };

  void PlayStep(const OracleStep& step);
  void PlayFlow(const OracleFlow& flow);
  void PlayHttp(const OracleHttp& http);
  Seen Try(const OracleFlow& flow);
  Client& KeptSocket(const OracleFlow& flow, const Namespace& netns);
  const Namespace& HomeOf(const OracleFlow& flow);

  // What is wrong with one try; nothing if it is as expected.
  std::optional<std::string> JudgeReached(const OracleFlow& flow, const Seen& seen);
  std::optional<std::string> JudgeUnreached(const OracleFlow& flow, const Seen& seen) const;
  std::optional<std::string> PlayBackends(const OracleFlow& flow);

  Lab& lab_;
  Agent& agent_;
  OracleCount count_;
  std::vector<std::string> failures_;
  std::map<std::string, std::unique_ptr<Client>> sockets_;  // of sameSocket flows, by flow name
  std::map<std::string, std::string> stuck_;                // sticky flow name -> its backend
};

}  // namespace fairlead::test
