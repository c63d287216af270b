// SPDX-License-Identifier: Apache-2.0
// The probes beside BPF: this process's rights, mounts, and what other parts of the kernel answer.
#pragma once

#include <string>

#include "agent/base/error.h"

namespace fairlead::ebpf::host {

std::string KernelRelease();
// Which of the capabilities that the agent wants this process has not: "CAP_BPF CAP_PERFMON". CAP_SYS_ADMIN
// stands for CAP_BPF and CAP_PERFMON, as in the kernel.
Result<std::string> MissingCapabilities();
// Where DIR would be: "bpffs is mounted on /sys/fs/bpf", or that it can be.
Result<std::string> BpfFs(const std::string& dir);
Result<std::string> KernelBtf();
// SOCK_DESTROY of a UDP socket that does not exist.
Result<void> SockDestroy();

}  // namespace fairlead::ebpf::host
