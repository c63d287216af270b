// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/standing.h"

#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include "agent/base/exec.h"

namespace fairlead::modes {

namespace {

// What a program prints; nothing where it is not there or fails.
std::string OutputOf(std::vector<std::string> argv) {
  auto output = ExecuteOrFail({.argv = std::move(argv), .input = {}});
  return output ? *output : std::string();
}

bool HasTable() {
  return ("\n" + OutputOf({"nft", "list", "tables"}) + "\n").contains("\ntable inet fairlead\n");
}

// Chains of ours that are not ipvs mode's.
bool HasChains(const std::string& saved) {
  constexpr std::string_view kOurs = "\n:FAIRLEAD-", kIpvs = "\n:FAIRLEAD-IPVS-";
  for (size_t at = saved.find(kOurs); at != std::string::npos; at = saved.find(kOurs, at + 1)) {
    if (!std::string_view(saved).substr(at).starts_with(kIpvs)) return true;
  }
  return false;
}

}  // namespace

std::vector<Standing> FindStanding(const std::string& bpffs_dir) {
  std::vector<Standing> standing;
  if (::access((bpffs_dir + "/links").c_str(), F_OK) == 0)
    standing.push_back({Mode::kEbpf, "fairleadctl services"});
  if (HasTable()) standing.push_back({Mode::kNftables, "nft list table inet fairlead"});
  if (::if_nametoindex("fairlead-ipvs") != 0) standing.push_back({Mode::kIpvs, "ipvsadm -Ln"});
  for (const char* program : {"iptables-nft-save", "iptables-legacy-save", "iptables-save"}) {
    if (!HasChains(OutputOf({program}))) continue;
    standing.push_back({Mode::kIptables, fmt::format("{} | grep FAIRLEAD", program)});
    break;
  }
  return standing;
}

}  // namespace fairlead::modes
