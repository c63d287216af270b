// SPDX-License-Identifier: Apache-2.0
// What the programs in use were told before load, read back from them: right also after an agent of another
// configuration or release has gone.
#pragma once

#include "agent/base/error.h"
#include "agent/datapath/ebpf/pins.h"
#include "fairlead/config.h"

namespace fairlead::ctl {

// From the rodata of the pinned program. Needs CAP_SYS_ADMIN, as maps are opened by their id.
Result<fairlead_config> ReadLoadedConfig(const ebpf::Pins& pins);

}  // namespace fairlead::ctl
