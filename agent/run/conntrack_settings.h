// SPDX-License-Identifier: Apache-2.0
// The conntrack fields of the configuration as settings of the kernel's nf_conntrack, for the modes whose
// flows are there. As kube-proxy sets them (cmd/kube-proxy/app/conntrack.go): the table is made larger, never
// smaller; a time of zero leaves the kernel's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/options.h"

namespace fairlead::run {

struct ConntrackSetting {
  std::string name;  // below /proc/sys
  uint64_t value = 0;
  bool at_least = false;  // a larger one stays

  friend bool operator==(const ConntrackSetting&, const ConntrackSetting&) = default;
};

// `cores`: of the machine.
std::vector<ConntrackSetting> ConntrackSettings(const Options& options, uint32_t cores);

// Makes them so. A setting that the kernel has not yet comes with the first rule that needs nf_conntrack, and
// waits for the next Try; one that cannot be written is a warning, once: the mode serves without it.
class KeptConntrack {
 public:
  explicit KeptConntrack(std::vector<ConntrackSetting> due) : due_(std::move(due)) {}
  void Try();

 private:
  std::vector<ConntrackSetting> due_;
};

}  // namespace fairlead::run
