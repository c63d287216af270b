// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/dump.h"

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/datapath/ebpf/encode.h"
#include "agent/datapath/ebpf/frontend_table.h"
#include "test/support/ebpf/reader.h"

namespace fairlead::test {

namespace {

using ebpf::DecodeService;
using ebpf::PortFromWire;

std::string ServiceText(const ebpf::Tables& tables, uint32_t id) {
  std::string text;
  auto listed = tables.services->ForEach([&](const uint32_t& row_id, const service& row) {
    if (row_id == id) {
      auto key = DecodeService(row);
      text = fmt::format("{}:{}", key.service.ToString(), key.port);
    }
  });
  return listed && !text.empty() ? text : "BROKEN: no service row";
}

Cidr CidrOf(const ip_addr& base, unsigned wire_bits) {
  Cidr cidr{Address{base}, 0};
  cidr.bits = static_cast<uint8_t>(cidr.GetFamily() == Family::kIpv4 ? wire_bits - 96 : wire_bits);
  return cidr;
}

std::string RangesText(const ebpf::Tables& tables, uint32_t set) {
  std::set<std::string> ranges;
  auto listed = tables.source_ranges->ForEach([&](const source_range_key& key, const source_range&) {
    if (key.source_set == set) ranges.insert(CidrOf(key.addr, key.prefix_bits - 32).ToString());
  });
  if (!listed || ranges.empty()) return "nobody";
  return fmt::format("{}", fmt::join(ranges, " "));
}

std::string RolesText(uint32_t roles) {
  std::vector<std::string_view> words;
  if (roles & ADDRESS_CLUSTER_IP) words.emplace_back("cluster IP");
  if (roles & ADDRESS_EXTERNAL) words.emplace_back("external");
  if (roles & ADDRESS_NODE) words.emplace_back("node");
  if (roles & ADDRESS_LOOPBACK) words.emplace_back("loopback");
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string BackendText(const backend& b) {
  std::string text = AddressPort(Address{b.addr}, PortFromWire(b.port));
  std::vector<std::string_view> notes;
  if (b.flags & BACKEND_LOCAL) notes.emplace_back("local");
  if (b.flags & BACKEND_TERMINATING) notes.emplace_back("terminating");
  if (!notes.empty()) text += fmt::format(" ({})", fmt::join(notes, ", "));
  return text;
}

// Per cent of the ring that each offered backend has, " 60%"; empty texts without a ring.
std::vector<std::string> ShareTexts(const Reader& reader, frontend found, const run& head) {
  std::vector<uint32_t> slots(found.count);
  for (uint32_t s = 0; s < head.ring_size; ++s) {
    ++slots.at(reader.tables().rings[head.ring + s / RING_CHUNK_SLOTS].slot[s % RING_CHUNK_SLOTS]);
  }
  std::vector<std::string> texts(found.count);
  for (size_t i = 0; i < texts.size() && head.ring_size > 0; ++i) {
    texts[i] = fmt::format(" {}%", (slots[i] * 100 + head.ring_size / 2) / head.ring_size);
  }
  return texts;
}

// The backends of a part of a run, by address; empty with `broken` set if the part makes no sense.
std::string PartText(const Reader& reader, frontend found, const run& head, uint32_t from, uint32_t to,
                     const std::vector<std::string>& shares, std::string& broken) {
  std::map<std::string, size_t> copies;
  uint32_t last_id = 0;
  for (uint32_t i = from; i < to; ++i) {
    const backend* b = reader.Backend(found, i);
    if (!b || b->kind != RECORD_BACKEND) return broken = "no backend where one should be", "";
    if (b->id < last_id) return broken = "backends not sorted by id", "";
    if (!reader.Holds(found, head, b->id)) return broken = "a backend is not found by its id", "";
    last_id = b->id;
    ++copies[BackendText(*b) + (i < shares.size() ? shares[i] : "")];
  }
  std::vector<std::string> texts;
  for (const auto& [text, count] : copies)
    texts.push_back(count == 1 ? text : fmt::format("{} x{}", text, count));
  return fmt::format("{}", fmt::join(texts, ", "));
}

bool RingIsGood(const Reader& reader, frontend found, const run& head) {
  for (uint32_t s = 0; s < head.ring_size; ++s) {
    uint32_t chunk = head.ring + s / RING_CHUNK_SLOTS;
    if (chunk >= reader.tables().rings.size()) return false;
    if (reader.tables().rings[chunk].slot[s % RING_CHUNK_SLOTS] >= found.count) return false;
  }
  return head.ring_size > 0;
}

std::string RunText(const ebpf::Tables& tables, frontend found) {
  Reader reader(tables);
  const run* head = reader.Head(found);
  if (!head || head->kind != RECORD_RUN) return "BROKEN: no run";
  if (head->length != 1 + uint32_t{found.count} + head->draining) return "BROKEN: wrong length";
  std::string broken;
  bool maglev = found.algorithm == ALGORITHM_MAGLEV && found.count > 0;
  if (maglev && !RingIsGood(reader, found, *head)) return "BROKEN: ring";
  std::vector<std::string> shares;
  if (maglev) shares = ShareTexts(reader, found, *head);
  std::string offered = PartText(reader, found, *head, 0, found.count, shares, broken);
  std::string draining =
      PartText(reader, found, *head, found.count, found.count + head->draining, {}, broken);
  if (!broken.empty()) return "BROKEN: " + broken;

  std::string text = ServiceText(tables, head->service_id);
  if (found.flags & FRONTEND_AFFINITY) text += fmt::format(", affinity {} s", head->affinity_timeout_s);
  if (found.flags & FRONTEND_SOURCE_RANGES) text += ", only from " + RangesText(tables, head->source_set);
  if (found.flags & FRONTEND_TWO_SCOPES) text += ", outside differs";
  if (found.flags & FRONTEND_MASQUERADE) text += ", masquerade";
  if (found.flags & FRONTEND_MASQUERADE_OUTSIDE) text += ", masquerade outside";
  if (found.flags & FRONTEND_DSR) text += ", dsr";
  if (found.count > 0) {
    text += fmt::format("\n  {}: {}", maglev ? "maglev" : "random", offered);
  } else {
    text += found.flags & FRONTEND_DROP_IF_EMPTY ? "\n  drop" : "\n  reject";
  }
  if (!draining.empty()) text += "\n  draining: " + draining;
  return text;
}

}  // namespace

std::string KeyText(const frontend_key& key) {
  Address address{key.addr};
  if (key.scope == SCOPE_ADDRESS) return "address " + address.ToString();
  std::string protocol(kube::ProtocolName(static_cast<kube::Protocol>(key.proto)));
  std::string text = address.IsUnspecified()
                         ? fmt::format("NodePort {}/{} {}", PortFromWire(key.port), protocol,
                                       FamilyName(address.GetFamily()))
                         : fmt::format("{}/{}", AddressPort(address, PortFromWire(key.port)), protocol);
  return key.scope == SCOPE_EXTERNAL ? text + " from outside" : text;
}

std::string EntryText(const ebpf::Tables& tables, const frontend_key& key) {
  auto found = Reader(tables).Find(key);
  if (!found) return "-";
  return key.scope == SCOPE_ADDRESS ? RolesText(found->offset) : RunText(tables, *found);
}

std::map<std::string, std::string> Entries(const ebpf::Tables& tables) {
  std::map<std::string, std::string> entries;
  for (const frontend_slot& slot : tables.frontends) {
    if (slot.value.flags == 0) continue;
    frontend_key key = ebpf::KeyOf(slot);
    auto [it, added] = entries.emplace(KeyText(key), EntryText(tables, key));
    if (!added) it->second = "BROKEN: twice in the table";
    if (it->second == "-") it->second = "BROKEN: not found by a reader";
  }
  return entries;
}

std::string Dump(const ebpf::Tables& tables) {
  std::string dump;
  for (const auto& [key, entry] : Entries(tables)) {
    std::string text = entry;
    for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3) text.replace(at, 1, "\n  ");
    dump += fmt::format("  {} -> {}\n", key, text);
  }
  auto list = [&](std::string_view name, std::span<const service_cidr> elements) {
    for (const service_cidr& cidr : elements) {
      if (!cidr.in_use) break;
      unsigned bits = 0;
      for (uint8_t byte : cidr.mask.bytes) bits += static_cast<unsigned>(__builtin_popcount(byte));
      dump += fmt::format("  {} CIDR {}\n", name, CidrOf(cidr.base, bits).ToString());
    }
  };
  list("service", tables.service_cidrs);
  list("pod", tables.pod_cidrs);
  return dump;
}

}  // namespace fairlead::test
