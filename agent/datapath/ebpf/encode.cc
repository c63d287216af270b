// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/encode.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>
#include <tuple>

#include "agent/datapath/ebpf/frontend_table.h"

namespace fairlead::ebpf {

namespace {

// Copies of a record that weights may make of one run: enough for 1 % steps over a few dozen backends.
constexpr size_t kWeightedRecordsMax = 4096;

void CopyName(char (&to)[NAME_SIZE], const std::string& from) {
  std::memset(to, 0, sizeof(to));
  std::memcpy(to, from.data(), std::min(from.size(), sizeof(to) - 1));
}

bool SameBackend(const plan::Backend& a, const plan::Backend& b) {
  return a.address == b.address && a.port == b.port;
}

bool ByAddress(const plan::Backend& a, const plan::Backend& b) {
  return std::tie(a.address, a.port) < std::tie(b.address, b.port);
}

// Repeats each backend by its weight over the greatest common divisor. Where that is more than fits, weights
// are scaled down, none below one.
std::vector<plan::Backend> Weighted(const std::vector<plan::Backend>& list) {
  uint32_t divisor = 0;
  uint64_t sum = 0;
  for (const auto& backend : list) {
    divisor = std::gcd(divisor, uint32_t{backend.weight});
    sum += backend.weight;
  }
  if (list.empty() || divisor == 0 || sum == uint64_t{divisor} * list.size()) return list;
  sum /= divisor;
  std::vector<plan::Backend> repeated;
  for (const auto& backend : list) {
    uint64_t copies = backend.weight / divisor;
    if (sum > kWeightedRecordsMax) copies = std::max<uint64_t>(1, copies * kWeightedRecordsMax / sum);
    repeated.insert(repeated.end(), copies, backend);
  }
  if (repeated.size() > RUN_BACKENDS_MAX) return list;
  return repeated;
}

// The flags that both scopes of a frontend have.
uint8_t FlagsOf(const plan::ServicePort& port, const plan::Frontend& frontend) {
  uint8_t flags = FRONTEND_LIVE;
  if (port.affinity_timeout_s != 0) flags |= FRONTEND_AFFINITY;
  if (port.has_any) flags |= FRONTEND_DROP_IF_EMPTY;
  if (frontend.masquerade == plan::Masquerade::kAll) flags |= FRONTEND_MASQUERADE;
  if (frontend.masquerade == plan::Masquerade::kOutside) flags |= FRONTEND_MASQUERADE_OUTSIDE;
  if (frontend.kind == plan::FrontendKind::kLoadBalancer && port.has_source_ranges) {
    flags |= FRONTEND_SOURCE_RANGES;
  }
  if (frontend.kind != plan::FrontendKind::kClusterIp && port.forwarding == plan::Forwarding::kDsr) {
    flags |= FRONTEND_DSR;
  }
  return flags;
}

}  // namespace

__be16 PortToWire(uint16_t port) {
  return htons(port);
}
uint16_t PortFromWire(__be16 port) {
  return ntohs(port);
}

service EncodeService(const plan::ServicePortKey& key) {
  service row{};
  CopyName(row.ns, key.service.ns);
  CopyName(row.name, key.service.name);
  CopyName(row.port, key.port);
  row.proto = static_cast<uint8_t>(key.protocol);
  row.family = static_cast<uint8_t>(key.family);
  return row;
}

plan::ServicePortKey DecodeService(const service& row) {
  auto text = [](const char(&from)[NAME_SIZE]) { return std::string(from, strnlen(from, sizeof(from))); };
  return {{text(row.ns), text(row.name)},
          text(row.port),
          static_cast<plan::Protocol>(row.proto),
          static_cast<Family>(row.family)};
}

frontend_key FrontendKey(const plan::Frontend& frontend, plan::Protocol protocol, frontend_scope scope) {
  frontend_key key{};
  key.addr = frontend.address.raw;
  key.port = PortToWire(frontend.port);
  key.proto = static_cast<uint8_t>(protocol);
  key.scope = static_cast<uint8_t>(scope);
  return key;
}

frontend_key AddressKey(const Address& address) {
  frontend_key key{};
  key.addr = address.raw;
  key.scope = SCOPE_ADDRESS;
  return key;
}

std::vector<Entry> EncodeEntries(const plan::ServicePort& port) {
  std::vector<Entry> entries;
  auto add = [&](const plan::Frontend& frontend, frontend_scope scope, List list, uint8_t flags = 0) {
    entries.push_back({FrontendKey(frontend, port.key.protocol, scope), list,
                       static_cast<uint8_t>(FlagsOf(port, frontend) | flags)});
  };
  for (const plan::Frontend& frontend : port.frontends) {
    if (frontend.kind == plan::FrontendKind::kClusterIp) {
      add(frontend, SCOPE_CLUSTER, port.internal_local ? List::kLocal : List::kCluster);
    } else if (port.external_local) {
      add(frontend, SCOPE_CLUSTER, List::kCluster, FRONTEND_TWO_SCOPES);
      add(frontend, SCOPE_EXTERNAL, List::kLocal);
    } else {
      add(frontend, SCOPE_CLUSTER, List::kCluster);
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return FrontendKeyLess()(a.key, b.key); });
  return entries;
}

RunBackends EncodeBackends(const plan::ServicePort& port, List list) {
  const std::vector<plan::Backend>& offered = list == List::kLocal ? port.local : port.cluster;
  RunBackends run;
  run.offered = port.algorithm == plan::Algorithm::kRandom ? Weighted(offered) : offered;
  if (port.key.protocol != plan::Protocol::kUdp) return run;  // TCP flows need no leave to go on
  std::vector<plan::Backend> serving;
  for (const auto* other : {&port.cluster, &port.local, &port.draining}) {
    if (other != &offered) serving.insert(serving.end(), other->begin(), other->end());
  }
  std::sort(serving.begin(), serving.end(), ByAddress);
  serving.erase(std::unique(serving.begin(), serving.end(), SameBackend), serving.end());
  std::set_difference(serving.begin(), serving.end(), offered.begin(), offered.end(),
                      std::back_inserter(run.draining), ByAddress);
  return run;
}

std::vector<source_range_key> EncodeSourceRanges(const plan::ServicePort& port, uint32_t source_set) {
  std::vector<source_range_key> keys;
  for (const Cidr& range : port.source_ranges) {
    source_range_key key{};
    key.prefix_bits = 32u + range.WireBits();
    key.source_set = source_set;
    key.addr = range.base.raw;
    keys.push_back(key);
  }
  return keys;
}

}  // namespace fairlead::ebpf
