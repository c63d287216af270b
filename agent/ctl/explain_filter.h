// SPDX-License-Identifier: Apache-2.0
// The filter in front of the programs' walk (maps/destinations.h), which tc_explain leaves out.
#pragma once

#include <functional>
#include <span>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/ctl/explain_request.h"
#include "agent/datapath/ebpf/pins.h"
#include "fairlead/config.h"

namespace fairlead::ctl {

// Whether the programs pass this packet without a walk. `has_bit` says whether an address has its bit in
// destinations. Never at the socket, where there is no filter.
bool PassesUnseen(const Question& question, std::span<const Cidr> service_cidrs,
                  const std::function<bool(const Address&)>& has_bit);

// By the pinned table as it is now.
Result<bool> PassesUnseen(const Question& question, std::span<const Cidr> service_cidrs,
                          const ebpf::Pins& pins, const fairlead_config& config);

}  // namespace fairlead::ctl
