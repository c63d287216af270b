// SPDX-License-Identifier: Apache-2.0
// Reads the tables while the agent may be writing them. Never writes.
//
// A frontend's word is read before and after what it points at: the agent frees a run only some time after
// its word has changed. Programs are waited for then, readers outside the kernel are not: for one that was
// stopped so long that the run's place was given away, and perhaps the word too is the same again, the run is
// read twice and compared. What does not hold still in a few tries is marked as changing.
#pragma once

#include <map>

#include "agent/base/error.h"
#include "agent/ctl/snapshot.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::ctl {

// Names of service ports by id.
Result<std::map<uint32_t, plan::ServicePortKey>> ReadServiceNames(
    const ebpf::KeyedTable<services_table>& services);

Result<Snapshot> ReadTables(const ebpf::Tables& tables);

}  // namespace fairlead::ctl
