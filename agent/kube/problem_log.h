// SPDX-License-Identifier: Apache-2.0
// Says each distinct problem once until it is over, so that a retry loop does not repeat itself.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/kube/objects.h"

namespace fairlead::kube {

class ProblemLog {
 public:
  explicit ProblemLog(Sink& sink) : sink_(sink) {}

  // Trouble with the server; over when it works again.
  void ServerTrouble(Problem problem);
  void ServerWorks() { said_.clear(); }

  // Trouble with one object; over when a good version of it arrives.
  void BadObject(const std::string& object, Problem problem);
  void GoodObject(const std::string& object);
  // All objects were read anew: these, and only these, are bad now.
  void BadObjects(std::vector<Problem> problems);

 private:
  Sink& sink_;
  std::set<std::string> said_;
  std::map<std::string, std::string> bad_;  // object → message; after a list, message → message
};

}  // namespace fairlead::kube
