// SPDX-License-Identifier: Apache-2.0
// Plan words into table words: keys, flags, and the backends of a run before they have ids. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/plan/plan.h"
#include "maps/backends.h"
#include "maps/frontends.h"
#include "maps/services.h"
#include "maps/source_ranges.h"

namespace fairlead::ebpf {

__be16 PortToWire(uint16_t port);
uint16_t PortFromWire(__be16 port);

// The services row of a key, and back. Names that do not fit were refused by the decoder; they are cut here.
service EncodeService(const plan::ServicePortKey& key);
plan::ServicePortKey DecodeService(const service& row);

frontend_key FrontendKey(const plan::Frontend& frontend, plan::Protocol protocol, frontend_scope scope);
frontend_key AddressKey(const Address& address);

// Which of a service port's lists an entry is served from, and how.
enum class List : uint8_t { kCluster, kLocal };
struct Entry {
  frontend_key key{};
  List list = List::kCluster;
  uint8_t flags = 0;  // FRONTEND_*; DROP_IF_EMPTY as the list demands
};
// Every entry of a service port, both scopes, sorted by key.
std::vector<Entry> EncodeEntries(const plan::ServicePort& port);

// The backends of a run: the list's, each as often as its weight demands, and for UDP those that only keep
// flows.
struct RunBackends {
  std::vector<plan::Backend> offered;   // repeated by weight for random, once each for Maglev
  std::vector<plan::Backend> draining;  // serving, not offered
};
RunBackends EncodeBackends(const plan::ServicePort& port, List list);

// One key per source range of the set.
std::vector<source_range_key> EncodeSourceRanges(const plan::ServicePort& port, uint32_t source_set);

}  // namespace fairlead::ebpf
