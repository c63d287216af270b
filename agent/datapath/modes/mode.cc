// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/mode.h"

namespace fairlead::modes {

std::string_view ModeName(Mode mode) {
  switch (mode) {
    case Mode::kEbpf:
      return "ebpf";
    case Mode::kNftables:
      return "nftables";
    case Mode::kIpvs:
      return "ipvs";
    case Mode::kIptables:
      return "iptables";
  }
  return "";
}

std::optional<Mode> ParseMode(std::string_view name) {
  for (Mode mode : kModes) {
    if (ModeName(mode) == name) return mode;
  }
  return std::nullopt;
}

}  // namespace fairlead::modes
