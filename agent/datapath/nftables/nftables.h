// SPDX-License-Identifier: Apache-2.0
// The nftables datapath: one table, inet fairlead, that is atomically what the plan says. Not by libnftables:
// kernel.h says why.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/netfilter/options.h"

namespace fairlead::nftables {

// Whether nft rules of our kind can be made here: the kernel's answer to a transaction that is only checked,
// and the nft program's version. Changes nothing. The text says what was found.
Result<std::string> Probe();

// Opens with what stands in the kernel, and takes that over where a release like this one made it. Nothing is
// written before Commit.
Result<std::unique_ptr<datapath::Datapath>> Open(const netfilter::NetfilterOptions& options);

// Removes the table; false: there was none.
Result<bool> CleanUp();

}  // namespace fairlead::nftables
