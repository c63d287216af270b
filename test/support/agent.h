// SPDX-License-Identifier: Apache-2.0
// The agent under test on node n1 of a lab, or one on another node beside it: the real program, fed by a
// folder of manifests, outside the cgroup its programs watch. Its log is kept and shown when a test fails.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/http_get.h"
#include "test/support/lab.h"
#include "test/support/process.h"

namespace fairlead::test {

// A file of manifests: objects in JSON as one v1 List.
std::string Manifest(const std::vector<std::string>& objects);

class Agent {
 public:
  // Nothing runs yet. `arguments` come after those every test needs, and so win over them. The folder of
  // manifests holds this node's Node object (node.json).
  explicit Agent(Lab& lab, std::vector<std::string> arguments = {}) : Agent(lab, lab.N1(), arguments) {}
  // On another node its socket hooks see nobody; there may be one such.
  Agent(Lab& lab, Node& node, const std::vector<std::string>& arguments = {});
  // Kills the agent and takes its pins down; shows the log if the test has failed.
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void Start();   // and waits until it has programmed the manifests
  void Launch();  // starts it, without waiting
  int Stop();     // SIGTERM; the exit status
  void Kill();    // SIGKILL; pins and programs stay
  bool Running() { return child_ && child_->Running(); }
  // Runs another command of the agent's program or fairleadctl in the node, outside the test's cgroup, to its
  // end.
  Finished RunTool(std::string_view program, const std::vector<std::string>& arguments);
  // fairleadctl on this agent's pins.
  Finished Ctl(std::vector<std::string> arguments);
  // --cleanup, as this agent was started; the agent is not running.
  Finished Cleanup();

  // Manifests: written to a scratch name and renamed, as kubelet's volumes do.
  void Put(std::string_view file, std::string_view text);
  void Remove(std::string_view file);
  // Returns when everything put or removed so far is in the kernel. Throws std::runtime_error with the end of
  // the log when that takes longer than `patience`, or the agent has ended.
  void Settle(std::chrono::milliseconds patience = std::chrono::seconds(10));
  void Apply(std::string_view file, std::string_view text) {
    Put(file, text);
    Settle();
  }

  std::string Log() const;
  HttpAnswer Healthz(std::string_view path) const;  // port 10256 on the node address
  HttpAnswer Metrics(std::string_view path) const;  // 127.0.0.1:10249
  const std::string& Manifests() const { return manifests_; }

 private:
  void SettleOnce(std::chrono::steady_clock::time_point deadline);
  bool HasMarker(uint16_t port);
  bool UnderTest() const { return node_.Net().OfMachine() == Machine::kUnderTest; }

  Lab& lab_;
  Node& node_;
  std::vector<std::string> argv_;
  std::string manifests_, log_, bpffs_dir_;
  std::optional<Child> child_;
  int generation_ = 0;
};

}  // namespace fairlead::test
