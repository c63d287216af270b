// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/tree.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "agent/datapath/iptables/names.h"

namespace fairlead::iptables {

namespace {

constexpr int kStep = 4;  // bits a level

int FirstBit(Family family) {
  return family == Family::kIpv4 ? 96 : 0;
}

// The number of leading bits two addresses of one family share, within that family.
int SharedBits(const Address& a, const Address& b) {
  int bits = 0;
  for (size_t i = 0; i < sizeof(a.raw.bytes); ++i) {
    const auto differ = static_cast<uint8_t>(a.raw.bytes[i] ^ b.raw.bytes[i]);
    bits += std::countl_zero(differ);
    if (differ != 0) break;
  }
  return bits - FirstBit(a.GetFamily());
}

Cidr Prefix(const Address& address, int bits) {
  Cidr prefix{address, static_cast<uint8_t>(bits)};
  for (int bit = FirstBit(address.GetFamily()) + bits; bit < 128; ++bit) {
    auto& byte = prefix.base.raw.bytes[bit / 8];
    byte = static_cast<uint8_t>(byte & ~(0x80 >> (bit % 8)));
  }
  return prefix;
}

Address Last(const Cidr& prefix) {
  Address last = prefix.base;
  for (int bit = FirstBit(prefix.GetFamily()) + prefix.bits; bit < 128; ++bit) {
    auto& byte = last.raw.bytes[bit / 8];
    byte = static_cast<uint8_t>(byte | 0x80 >> (bit % 8));
  }
  return last;
}

}  // namespace

Address PortKey(uint16_t port) {
  Address key = plan::AnyAddress(Family::kIpv4);
  key.raw.bytes[14] = static_cast<uint8_t>(port >> 8);
  key.raw.bytes[15] = static_cast<uint8_t>(port);
  return key;
}

uint16_t PortOf(const Address& key) {
  return static_cast<uint16_t>(key.raw.bytes[14] << 8 | key.raw.bytes[15]);
}

void Tree::Put(const Address& key, const Slot& slot, const plan::ServicePortKey& owner, std::string rule) {
  std::vector<Claim>& claims = keys_[key][slot];
  std::erase_if(claims, [&](const Claim& claim) { return claim.owner == owner; });
  claims.push_back({owner, std::move(rule)});
  dirty_.insert(key);
}

void Tree::Remove(const Address& key, const Slot& slot, const plan::ServicePortKey& owner) {
  auto at = keys_.find(key);
  if (at == keys_.end()) return;
  auto place = at->second.find(slot);
  if (place == at->second.end()) return;
  std::erase_if(place->second, [&](const Claim& claim) { return claim.owner == owner; });
  if (place->second.empty()) at->second.erase(place);
  if (at->second.empty()) keys_.erase(at);
  dirty_.insert(key);
}

bool Tree::HasBeside(const Address& key, const Slot& slot, const plan::ServicePortKey& owner) const {
  auto at = keys_.find(key);
  if (at == keys_.end()) return false;
  auto place = at->second.find(slot);
  return place != at->second.end() &&
         std::ranges::any_of(place->second, [&](const Claim& claim) { return claim.owner != owner; });
}

void Tree::Refresh(const Write& write) {
  if (dirty_.empty() && !rendered_.empty()) return;
  Render(shape_.all, 0, write);
  dirty_.clear();
}

std::string Tree::ChainOf(const Cidr& part) const {
  return part == shape_.all ? shape_.root : shape_.chain(part);
}

bool Tree::Fits(const Cidr& part) const {
  auto key = Begin(part);
  for (size_t seen = 0; seen <= kBucket; ++seen, ++key) {
    if (key == keys_.end() || !part.Contains(key->first)) return true;
  }
  return false;
}

// The parts that hold a key: of the prefix that all keys of `part` share, by its next bits.
Tree::Parts Tree::Split(const Cidr& part) const {
  Parts parts;
  const auto end = keys_.upper_bound(Last(part));
  const int bits = SharedBits(Begin(part)->first, std::prev(end)->first) / kStep * kStep + kStep;
  for (auto key = Begin(part); key != end; key = keys_.upper_bound(Last(parts.back()))) {
    parts.push_back(Prefix(key->first, bits));
  }
  return parts;
}

bool Tree::Dirty(const Cidr& part) const {
  auto key = dirty_.lower_bound(part.base);
  return key != dirty_.end() && part.Contains(*key);
}

void Tree::Render(const Cidr& part, int depth, const Write& write) {
  const std::string chain = ChainOf(part);
  std::string body;
  Parts parts;
  if (depth == kDepth || Fits(part)) {
    for (auto key = Begin(part); key != keys_.end() && part.Contains(key->first); ++key) {
      for (const auto& [slot, claims] : key->second) AddRule(body, chain, claims.back().rule);
    }
  } else {
    parts = Split(part);
    for (const Cidr& child : parts) AddRule(body, chain, shape_.match(child) + " -j " + ChainOf(child));
  }
  const Parts before = std::exchange(rendered_[part], parts);
  for (const Cidr& child : before) {
    if (!std::ranges::binary_search(parts, child)) Drop(child, write);
  }
  for (const Cidr& child : parts) {
    if (!rendered_.contains(child) || Dirty(child)) Render(child, depth + 1, write);
  }
  write(chain, &body);
}

void Tree::Drop(const Cidr& part, const Write& write) {
  auto node = rendered_.find(part);
  if (node == rendered_.end()) return;
  const Parts children = std::move(node->second);
  rendered_.erase(node);
  for (const Cidr& child : children) Drop(child, write);
  write(ChainOf(part), nullptr);
}

}  // namespace fairlead::iptables
