// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/cidr_table.h"

#include <algorithm>
#include <cstddef>

namespace fairlead::ebpf {

namespace {

service_cidr Encode(const Cidr& cidr) {
  service_cidr element{};
  element.base = cidr.base.raw;
  for (unsigned bit = 0; bit < cidr.WireBits(); ++bit) {
    element.mask.bytes[bit / 8] = static_cast<uint8_t>(element.mask.bytes[bit / 8] | 0x80u >> (bit % 8));
  }
  return element;
}

Cidr Decode(const service_cidr& element) {
  Cidr cidr{Address{element.base}, 0};
  unsigned bits = 0;
  for (uint8_t byte : element.mask.bytes) bits += static_cast<unsigned>(__builtin_popcount(byte));
  cidr.bits = static_cast<uint8_t>(cidr.GetFamily() == Family::kIpv4 ? bits - 96 : bits);
  return cidr;
}

}  // namespace

void CidrTable::Restore() {
  for (const service_cidr& element : elements_) {
    if (!element.in_use) break;
    cidrs_.push_back(Decode(element));
  }
  written_ = cidrs_.size();
}

Result<void> CidrTable::Apply(const std::vector<Cidr>& cidrs) {
  if (cidrs.size() > elements_.size()) {
    return Fail(ErrorKind::kExhausted, "{}: {} prefixes, {} fit", name_, cidrs.size(), elements_.size());
  }
  if (cidrs_ == cidrs) return {};
  auto same = std::ranges::mismatch(cidrs_, cidrs).in1 - cidrs_.begin();
  const size_t stays = std::min(static_cast<size_t>(same), written_);
  cidrs_ = cidrs;
  // Backwards: a reader never finds an element behind an unused one.
  for (size_t i = elements_.size(); i-- > stays;) {
    if (elements_[i].in_use) store_.Publish(elements_[i].in_use, __u64{0});
  }
  written_ = stays;
  // Only the last of several changes waits long enough: elements may be in use again in between.
  reclaimer_.Retire([this, change = ++changes_] {
    if (change == changes_) Write(written_);
  });
  return {};
}

// Nobody reads past an unused element, and every reader of the old ones is done.
void CidrTable::Write(size_t from) {
  for (size_t i = from; i < cidrs_.size(); ++i) {
    service_cidr wanted = Encode(cidrs_[i]);
    store_.Fill(&elements_[i], &wanted, offsetof(service_cidr, in_use));
    store_.Publish(elements_[i].in_use, __u64{1});
  }
  written_ = cidrs_.size();
}

}  // namespace fairlead::ebpf
