// SPDX-License-Identifier: Apache-2.0
// Network namespaces by inode number: where one is pinned or in use, and sockets opened inside.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace fairlead::ebpf {

// Finds the namespaces with these inode numbers: this process's own, files in `dirs` (where container
// runtimes pin them), and those of the processes that /proc shows. What cannot be found is missing in the
// result.
std::map<uint32_t, Fd> FindNetns(const std::set<uint32_t>& inodes, const std::vector<std::string>& dirs);

// Opens a netlink socket of `protocol` inside the namespace; the calling thread is back in its own
// afterwards. Needs CAP_SYS_ADMIN for any namespace but the caller's own.
Result<Fd> NetlinkIn(const Fd& netns, int protocol);

}  // namespace fairlead::ebpf
