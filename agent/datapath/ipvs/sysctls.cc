// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/sysctls.h"

#include <sys/utsname.h>

#include <cstdio>
#include <string_view>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/sysctl.h"

namespace fairlead::ipvs {

namespace {

struct Setting {
  std::string_view name;
  std::string_view value;
  std::string_view reason;
  bool needed = false;
};

// Whether a client port that is used again may go to another backend without losing its first SYN: from Linux
// 5.9 on (f0a5e4d7a594). Before, 0 sticks to the backend that had it, and 1 costs that client a second.
bool ReusesPortsWell() {
  utsname name{};
  int major = 0, minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return true;
  return major > 5 || (major == 5 && minor >= 9);
}

std::vector<Setting> SettingsOf(bool strict_arp) {
  std::vector<Setting> settings = {
      {"net/ipv4/ip_forward", "1", "answers of backends come through this node", true},
      {"net/ipv4/vs/conntrack", "1", "what IPVS translates is masqueraded by nf_conntrack", true},
      {"net/ipv4/vs/expire_nodest_conn", "1", "UDP flows leave a backend that is gone"},
      {"net/ipv4/vs/expire_quiescent_template", "1", "affinity to a backend that leaves is forgotten"},
      {"net/ipv4/vs/conn_reuse_mode", ReusesPortsWell() ? "1" : "0",
       "a client port used again goes to a backend that is there"},
  };
  if (!strict_arp) return settings;
  settings.push_back({"net/ipv4/conf/all/arp_ignore", "1", "ipvs.strictARP"});
  settings.push_back({"net/ipv4/conf/all/arp_announce", "2", "ipvs.strictARP"});
  return settings;
}

}  // namespace

Result<void> SetKernelSettings(bool strict_arp) {
  for (const Setting& setting : SettingsOf(strict_arp)) {
    const auto before = ReadSysctl(setting.name);
    if (before && *before == setting.value) continue;
    auto set = WriteSysctl(setting.name, setting.value);
    if (set) {
      spdlog::info("{} = {} instead of {}: {}", setting.name, setting.value, before.value_or("nothing"),
                   setting.reason);
    } else if (setting.needed) {
      return std::unexpected(std::move(set.error()).In(setting.reason));
    } else {
      spdlog::warn("{}; expected {}: {}", set.error().message, setting.value, setting.reason);
    }
  }
  return {};
}

}  // namespace fairlead::ipvs
