// SPDX-License-Identifier: Apache-2.0
// What the running kernel can do for ebpf mode, found by trying: small programs and maps that are loaded and
// dropped, requests that name nothing. Attaches nothing, pins nothing, mounts nothing; the kernel may load a
// module that a request asks for.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::ebpf {

enum class Outcome {
  kYes,
  kNo,     // this kernel or system has it not
  kError,  // it could not be found out, for want of a right
};
std::string_view OutcomeName(Outcome outcome);  // "yes", "no", "error"

struct ProbeResult {
  std::string name;  // stable: "cgroup_connect"
  Outcome outcome = Outcome::kError;
  std::string detail;     // what was found, or the kernel's answer
  std::string meaning;    // for whom asks whether to care
  bool required = false;  // ebpf mode cannot do without
};

struct ProbeOptions {
  std::string cgroup;  // empty: root of the cgroup2 mount
  std::string bpffs_dir = "/sys/fs/bpf/fairlead";
};

// In the order in which a missing thing explains those after it. Takes some 100 ms.
std::vector<ProbeResult> ProbeKernel(const ProbeOptions& options);

// Whether all that ebpf mode requires is there. `reason`: one sentence either way; where it is not there,
// every missing thing and what was found.
bool CanRunEbpf(std::span<const ProbeResult> results, std::string* reason);

}  // namespace fairlead::ebpf
