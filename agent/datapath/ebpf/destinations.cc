// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/destinations.h"

#include <atomic>
#include <bit>

namespace fairlead::ebpf {

namespace {

std::atomic_ref<uint64_t> Shared(const __u64& word) {
  return std::atomic_ref<uint64_t>(reinterpret_cast<uint64_t&>(const_cast<__u64&>(word)));
}

// In the order of maps/destinations.h.
uint64_t BitsOf(const destination_word& word) {
  const uint64_t next = Shared(word.next).load();
  return next | Shared(word.live).load();
}

}  // namespace

uint32_t Destinations::BitOf(const ip_addr& address) const {
  return destination_bit(address.halves[0], address.halves[1], reinterpret_cast<const __u64*>(keys_.data()));
}

void Destinations::Add(const ip_addr& address, Store& store) {
  if (words_.empty()) return;
  const uint32_t bit = BitOf(address);
  const uint64_t mask = uint64_t{1} << bit % 64;
  destination_word& word = words_[bit / 64];
  if (!(Shared(word.next).load() & mask)) store.Or(word.next, mask);
  if (!(Shared(word.live).load() & mask)) store.Or(word.live, mask);
}

bool Destinations::Has(const ip_addr& address) const {
  if (words_.empty()) return true;
  const uint32_t bit = BitOf(address);
  return BitsOf(words_[bit / 64]) >> bit % 64 & 1;
}

size_t Destinations::bits() const {
  size_t bits = 0;
  for (const destination_word& word : words_) bits += static_cast<size_t>(std::popcount(BitsOf(word)));
  return bits;
}

void Destinations::Clear() {
  for (destination_word& word : words_) {
    Shared(word.live).fetch_or(Shared(word.next).load());
    Shared(word.next).store(0);
  }
}

void Destinations::Keep(const ip_addr& address) {
  if (words_.empty()) return;
  const uint32_t bit = BitOf(address);
  Shared(words_[bit / 64].next).fetch_or(uint64_t{1} << bit % 64);
}

// `next` has all that is to stay, and what is added to it meanwhile is a bit of its address already there.
void Destinations::Replace() {
  for (destination_word& word : words_) Shared(word.live).store(Shared(word.next).load());
}

}  // namespace fairlead::ebpf
