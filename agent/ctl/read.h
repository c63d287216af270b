// SPDX-License-Identifier: Apache-2.0
// Reads the tables while the agent may be writing them. Never writes.
//
// A frontend's word is read before and after what it points at: while the word stands the agent does not free
// its run, so equal words mean that everything between was read as one. Otherwise it is read again, a few
// times; then the row is marked as changing.
#pragma once

#include "agent/base/error.h"
#include "agent/ctl/snapshot.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::ctl {

Result<Snapshot> ReadTables(const ebpf::Tables& tables);

}  // namespace fairlead::ctl
