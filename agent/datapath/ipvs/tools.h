// SPDX-License-Identifier: Apache-2.0
// The programs that write sets and rules: ipset, iptables, ip6tables. Run to their end; one thread.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/exec.h"
#include "agent/datapath/ipvs/rules.h"
#include "agent/datapath/ipvs/sets.h"

namespace fairlead::ipvs {

// RunToEnd, or what a test has instead of it: what the program printed.
using RunTool = std::function<Result<std::string>(const ExecOptions&)>;
// kInvalid where the program ended by itself with an error: what it was told is refused. Other kinds say
// nothing of that: no such program, the deadline, a signal.
Result<std::string> RunToEnd(const ExecOptions& options);

class IpsetTool {
 public:
  explicit IpsetTool(RunTool run) : run_(std::move(run)) {}

  // Runs only if `text` has a line. Lines before one that is refused (kInvalid) have taken effect.
  Result<void> Restore(const std::string& text);
  Result<SavedSets> Save();
  Result<void> Destroy(const std::string& name);

 private:
  RunTool run_;
};

// The chains of one family.
class RulesTool {
 public:
  // `prefix`: "iptables", "ip6tables", or one of their variants.
  RulesTool(RunTool run, std::string prefix) : run_(std::move(run)), prefix_(std::move(prefix)) {}

  // Makes the tables' rules equal to these where they are not as last written: the rules written, 0 if all
  // was well. Right after the start everything is written, in place of what an earlier run left.
  Result<uint64_t> Stand(const std::vector<RuleTable>& tables);
  // Takes ours away; false: there were none.
  Result<bool> Remove();

 private:
  // Of every table in use, so that none is loaded for the sake of a look.
  Result<std::string> Save();
  Result<void> Restore(const std::string& text);

  RunTool run_;
  std::string prefix_;
  std::vector<std::string> written_;  // as iptables-save printed them
};

}  // namespace fairlead::ipvs
