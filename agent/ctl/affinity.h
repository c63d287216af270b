// SPDX-License-Identifier: Apache-2.0
// Which backend the clients of Services with session affinity have, as fairleadctl shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/ctl/conntrack.h"
#include "agent/ctl/explain_request.h"
#include "agent/ctl/render.h"
#include "agent/ctl/snapshot.h"
#include "maps/affinity.h"

namespace fairlead::ctl {

struct RememberedClient {
  affinity_key key{};
  std::string client;     // an address, "netns 4102", or "this node"
  bool by_netns = false;  // a pod of this node, or the node
  std::optional<Address> address;
  std::optional<plan::ServicePortKey> service;  // nothing: no longer in the tables
  uint32_t service_id = 0;
  std::optional<Endpoint> backend;  // nothing: the Service does not offer it
  uint32_t backend_id = 0;
  uint64_t idle_s = 0;
  uint64_t expires_s = 0;

  // A new connection of this client goes to that backend. Others are rows that wait for their place to be
  // needed.
  bool Holds() const { return backend && expires_s > 0; }
};

struct AffinityContext {
  const Snapshot* snapshot = nullptr;
  uint64_t now_ns = 0;  // CLOCK_MONOTONIC
  uint64_t node_netns_cookie = 0;
};

using AffinityRow = std::pair<affinity_key, affinity>;

std::vector<RememberedClient> MakeClients(const std::vector<AffinityRow>& rows,
                                          const AffinityContext& context, const FlowFilter& filter);

// All rows of the LRU. In batches, a bucket at a time under its lock: nothing is missed or seen twice because
// of changes meanwhile, as it is when walking from key to key. Neither way counts as a use of the row: since
// Linux 5.2 only programs' lookups do (kernel/bpf/hashtab.c, htab_lru_map_lookup_elem_sys).
Result<std::vector<AffinityRow>> ReadAffinity(int fd);

std::string RenderClients(std::vector<RememberedClient> clients, Format format);
std::string RenderClientCount(const std::vector<RememberedClient>& clients, Format format);

}  // namespace fairlead::ctl
