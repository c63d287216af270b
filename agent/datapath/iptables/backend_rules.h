// SPDX-License-Identifier: Apache-2.0
// The choice among a list of backends, as rules: by chance and weight, or with affinity the one that the
// client had. Pure.
//
// Affinity: an xt_recent list for each backend remembers its clients. It lives as long as a rule names it, so
// what is remembered of a backend goes with the backend, and the module's ip_list_tot bounds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::iptables {

using NamedChains = std::vector<std::pair<std::string, std::string>>;

// Appends the chain `name` that begins with the rules `head` and chooses among `backends`, and the chains of
// its parts.
void RenderBackends(const plan::ServicePort& port, const std::vector<plan::Backend>& backends,
                    const std::string& name, std::string head, NamedChains& into);

}  // namespace fairlead::iptables
