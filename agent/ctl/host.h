// SPDX-License-Identifier: Apache-2.0
// What /proc and the cgroup2 mounts show of this host, as far as this process can see.
#pragma once

#include <cstdint>
#include <string>

namespace fairlead::ctl {

// Whether process `pid` is there and is a fairlead. In another pid namespace than the agent's the answer is
// no.
bool IsAgent(uint32_t pid);

// The directory of this cgroup id (the inode number, Linux 5.5); empty if no cgroup2 mount shows it.
std::string FindCgroup(uint64_t id);

}  // namespace fairlead::ctl
