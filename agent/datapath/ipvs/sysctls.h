// SPDX-License-Identifier: Apache-2.0
// The kernel's settings that IPVS mode needs, as kube-proxy sets them (pkg/proxy/ipvs/proxier.go); what each
// means: Documentation/networking/ipvs-sysctl.rst. They stay as they are when the agent or the mode goes:
// others may count on them by then.
#pragma once

#include "agent/base/error.h"

namespace fairlead::ipvs {

// Sets what is not so, and says each in the log. Where one cannot be set, that is an error if the mode cannot
// serve without it, and a warning otherwise.
Result<void> SetKernelSettings(bool strict_arp);

}  // namespace fairlead::ipvs
