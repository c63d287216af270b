// SPDX-License-Identifier: Apache-2.0
// Connections that nf_conntrack translates, whoever's rules it began to do so by.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/base/error.h"

namespace fairlead::netfilter {

// Whether a TCP connection is translated to another destination than its client's; by IPVS too, whose
// connections become nf_conntrack's when its servers go (modes/adopt_ipvs.h). Then packets to Services
// may belong to it, and whoever else translates must leave those alone that begin no connection.
Result<bool> HasTranslatedFlows();

// Whether an entry of any protocol is. Such an entry goes on to be honoured only while there is a chain of
// type nat in this network namespace.
Result<bool> HasTranslatedEntries();

// Source ports under which TCP connections are masqueraded: whoever masquerades beside nf_conntrack must
// leave them alone, or a new connection to the same backend meets an old one there and ends it. Sorted; host
// order.
Result<std::vector<uint16_t>> MasqueradePorts();

}  // namespace fairlead::netfilter
