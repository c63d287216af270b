// SPDX-License-Identifier: Apache-2.0
// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): a table in which every backend has nearly its
// share of slots, and in which few slots change when one backend comes or goes. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::ebpf {

// What a backend is to the table. `identity` must be the same on every node for the same backend, so that
// nodes agree: a hash of address, port and protocol.
struct MaglevBackend {
  uint64_t identity = 0;
  uint16_t weight = 1;  // 1 or more
};

// The smallest prime of the ladder with at least 100 slots a backend (the paper's bound for an imbalance of 1
// %), or the largest there is.
uint32_t MaglevSize(size_t backends);

// slots[s] = index into `backends`. `size` is prime. Backends must be in an order that all nodes share.
std::vector<uint16_t> MaglevTable(std::span<const MaglevBackend> backends, uint32_t size);

}  // namespace fairlead::ebpf
