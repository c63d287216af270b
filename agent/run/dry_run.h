// SPDX-License-Identifier: Apache-2.0
// --dry-run: the plan for this node as text, without touching the kernel.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "agent/kube/source.h"
#include "agent/plan/plan.h"

namespace fairlead::run {

// Waits until every kind of object was listed once, and plans. What is wrong with objects is logged on the
// way. kUnavailable if the source has not delivered by `deadline`.
Result<std::string> PlanOnce(std::unique_ptr<kube::Source> source, plan::NodeFacts facts,
                             std::chrono::seconds deadline);

}  // namespace fairlead::run
