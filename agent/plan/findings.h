// SPDX-License-Identifier: Apache-2.0
// What planning one service found wrong with it.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace fairlead::plan {

// `id` tells one finding of a service from another and stays the same while the matter lasts, even where the
// message (a count in it) does not.
struct Finding {
  std::string id;
  std::string message;
};

using Findings = std::vector<Finding>;

}  // namespace fairlead::plan
