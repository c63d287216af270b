// SPDX-License-Identifier: Apache-2.0
// The lists of fairlead/verdict.h as text, each indexed by its enumeration.
#pragma once

#include <span>

#include "fairlead/verdict.h"

namespace fairlead::ctl {

struct VerdictWords {
  const char* name;     // "DROP_TTL"
  const char* action;   // "pass", "reject", "answer", "drop"
  const char* meaning;  // "its TTL or hop limit ended here"
};

std::span<const VerdictWords> Verdicts();
std::span<const char* const> Programs();  // "uplink"

}  // namespace fairlead::ctl
