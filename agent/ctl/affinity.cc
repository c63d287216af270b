// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/affinity.h"

#include <bpf/bpf.h>

#include <map>

namespace fairlead::ctl {

namespace {

constexpr uint64_t kNsPerS = 1'000'000'000;

// What the tables say of a service port: the first frontend that remembers clients, and all backends.
struct Offer {
  plan::ServicePortKey service;
  uint32_t timeout_s = 0;
  std::map<uint32_t, Endpoint> backends;
};

std::map<uint32_t, Offer> OffersOf(const Snapshot& snapshot) {
  std::map<uint32_t, Offer> offers;
  for (const Frontend& frontend : snapshot.frontends) {
    Offer& offer = offers[frontend.service_id];
    offer.service = frontend.service;
    if (offer.timeout_s == 0) offer.timeout_s = frontend.affinity_timeout_s;
    for (const Backend& backend : frontend.backends) {
      if (!backend.draining) offer.backends.emplace(backend.id, Endpoint{backend.address, backend.port});
    }
  }
  return offers;
}

RememberedClient MakeClient(const AffinityRow& row, const AffinityContext& context) {
  RememberedClient client;
  client.key = row.first;
  client.service_id = row.first.service_id;
  client.backend_id = row.second.backend_id;
  client.by_netns = row.first.kind == AFFINITY_NETNS;
  if (!client.by_netns) {
    client.address = Address{row.first.client};
    client.client = client.address->ToString();
  } else {
    const uint64_t cookie = row.first.client.halves[1];
    client.client = cookie == context.node_netns_cookie ? "this node" : fmt::format("netns {}", cookie);
  }
  const uint64_t last = row.second.last_used_ns;
  client.idle_s = context.now_ns > last ? (context.now_ns - last) / kNsPerS : 0;
  return client;
}

bool Matches(const FlowFilter& filter, const RememberedClient& client) {
  if (!filter.MatchesService(client.service)) return false;
  if (filter.src && (!client.address || !filter.src->range.Contains(*client.address))) return false;
  return !filter.backend || (client.backend && filter.backend->Matches(*client.backend));
}

}  // namespace

std::vector<RememberedClient> MakeClients(const std::vector<AffinityRow>& rows,
                                          const AffinityContext& context, const FlowFilter& filter) {
  const std::map<uint32_t, Offer> offers = OffersOf(*context.snapshot);
  std::vector<RememberedClient> clients;
  for (const AffinityRow& row : rows) {
    RememberedClient client = MakeClient(row, context);
    if (auto offer = offers.find(client.service_id); offer != offers.end()) {
      client.service = offer->second.service;
      if (offer->second.timeout_s > client.idle_s) client.expires_s = offer->second.timeout_s - client.idle_s;
      auto backend = offer->second.backends.find(client.backend_id);
      if (backend != offer->second.backends.end()) client.backend = backend->second;
    }
    if (Matches(filter, client)) clients.push_back(std::move(client));
  }
  return clients;
}

Result<std::vector<AffinityRow>> ReadAffinity(int fd) {
  std::vector<AffinityRow> rows;
  std::vector<affinity_key> keys(4096);
  std::vector<affinity> values(keys.size());
  uint32_t at = 0, next = 0;  // buckets
  for (bool begun = false;;) {
    auto count = static_cast<uint32_t>(keys.size());
    const int failed =
        bpf_map_lookup_batch(fd, begun ? &at : nullptr, &next, keys.data(), values.data(), &count, nullptr);
    if (failed && errno == ENOSPC) {  // a bucket with more rows than fit
      keys.resize(keys.size() * 2);
      values.resize(keys.size());
      continue;
    }
    if (failed && errno != ENOENT) return FailErrno(errno, "{}: lookup", affinity_table::kName);
    for (uint32_t i = 0; i < count; ++i) rows.emplace_back(keys[i], values[i]);
    if (failed) return rows;
    at = next;
    begun = true;
  }
}

}  // namespace fairlead::ctl
