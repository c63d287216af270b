// SPDX-License-Identifier: Apache-2.0
// The cookie by which programs know a network namespace (SO_NETNS_COOKIE, Linux 5.14).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"

namespace fairlead::ctl {

// Of the namespace that a socket is in.
Result<uint64_t> NetnsCookie(int socket);

// Of the pod that has this address: the first namespace that has it as its own, among those pinned in
// `directories` and those of the processes that /proc shows. 0 if none is found, as in a container without
// the host's processes. Needs CAP_SYS_ADMIN.
uint64_t NetnsCookieOfPod(const Address& address, const std::vector<std::string>& directories);

}  // namespace fairlead::ctl
