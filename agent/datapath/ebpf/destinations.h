// SPDX-License-Identifier: Apache-2.0
// The agent's side of the filter in front of the packet path (maps/destinations.h): sets the bits of
// addresses with a role, and now and then makes the bits anew, so that those of flows that ended go. Does not
// own the memory, which programs write at the same time. One thread.
#pragma once

#include <cstdint>
#include <span>

#include "agent/datapath/ebpf/flow_table.h"
#include "agent/datapath/ebpf/store.h"
#include "maps/destinations.h"

namespace fairlead::ebpf {

class Destinations {
 public:
  // With no words, as in a test of something else, nothing is done.
  Destinations(std::span<destination_word> words, const FlowKeys& keys) : words_(words), keys_(keys) {}

  // To be called before the address gets a role.
  void Add(const ip_addr& address, Store& store);
  // False if the programs pass by what is for this address.
  bool Has(const ip_addr& address) const;
  size_t bits() const;  // set, of all that there are

  // 1 Clear, and wait for a grace period; 2 Keep, for every flow entry and every address with a role there
  // is; 3 Replace. What programs add meanwhile stays.
  void Clear();
  void Keep(const ip_addr& address);
  void Replace();

 private:
  uint32_t BitOf(const ip_addr& address) const;

  std::span<destination_word> words_;
  FlowKeys keys_;
};

}  // namespace fairlead::ebpf
