// SPDX-License-Identifier: Apache-2.0
// Settings of the kernel by their names below /proc/sys ("net/ipv4/ip_forward"). Those of net/ are of the
// calling thread's network namespace, and CAP_NET_ADMIN is enough to write them.
//
// A container that is not privileged sees /proc/sys read-only. Where the node's net/ is mounted for it
// elsewhere, the process says so once.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace fairlead {

// From now on in this folder instead of /proc/sys. Before other threads run.
void UseSysctlsIn(std::string folder);
std::string SysctlPath(std::string_view name);

// Without the newline. kNotFound where the kernel has no such setting (yet: some come with a module).
Result<std::string> ReadSysctl(std::string_view name);
// Errors name the file, and kUnavailable with EROFS says that sysctlDir is what helps.
Result<void> WriteSysctl(std::string_view name, std::string_view value);

}  // namespace fairlead
