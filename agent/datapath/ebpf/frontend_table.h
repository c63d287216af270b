// SPDX-License-Identifier: Apache-2.0
// The writer's side of the open-addressed table in maps/frontends.h. A slot's life, and why each step is safe
// for a reader at any moment, is told there. One thread.
#pragma once

#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/store.h"
#include "maps/frontends.h"

namespace fairlead::ebpf {

struct FrontendKeyLess {
  bool operator()(const frontend_key& a, const frontend_key& b) const {
    return std::memcmp(&a, &b, sizeof(a)) < 0;
  }
};
inline bool SameKey(const frontend_key& a, const frontend_key& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

class FrontendTable {
 public:
  FrontendTable(std::span<frontend_slot> slots, uint64_t seed, Store& store, Reclaimer& reclaimer);

  // Counts what stands in the memory (after a restart). Dead slots of the earlier run are free at once: it is
  // gone for longer than a grace period.
  void Restore();

  // Sets a key's value, or changes it, with one visible store. kExhausted if the table is at its capacity or
  // no slot within FRONTEND_PROBES is free.
  Result<void> Set(const frontend_key& key, uint32_t service_id, frontend value);
  // Makes the key dead; its slot is reused after a grace period. A key that is not there is no error.
  void Kill(const frontend_key& key);

  // What a program would find; nothing if the key is not live.
  std::optional<frontend> Get(const frontend_key& key) const;
  void ForEach(const std::function<void(const frontend_key&, uint32_t service_id, frontend)>& visit) const;

  uint32_t live() const { return live_; }
  uint32_t capacity() const { return static_cast<uint32_t>(slots_.size() / FRONTEND_SLOTS_PER_ENTRY); }

 private:
  frontend_slot* Find(const frontend_key& key) const;  // live or dead
  void Empty(uint32_t index);                          // if it is dead and out of its grace period

  std::span<frontend_slot> slots_;
  uint64_t seed_;
  Store& store_;
  Reclaimer& reclaimer_;
  std::vector<uint16_t> retired_;  // deaths of a slot whose grace period is not over
  uint32_t live_ = 0;
};

frontend_key KeyOf(const frontend_slot& slot);

}  // namespace fairlead::ebpf
