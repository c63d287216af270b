// SPDX-License-Identifier: Apache-2.0
// The pinned links, as the kernel describes them: where each program is attached, and whether still.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/ctl/snapshot.h"
#include "agent/datapath/ebpf/pins.h"

namespace fairlead::ctl {

// By name.
Result<std::vector<Link>> ReadLinks(const ebpf::Pins& pins);

// Hooks of sock_lb that none of the links serves on this cgroup.
std::vector<std::string> MissingHooks(std::span<const Link> links, uint64_t cgroup_id);

}  // namespace fairlead::ctl
