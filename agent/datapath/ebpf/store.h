// SPDX-License-Identifier: Apache-2.0
// How the writer touches memory that programs read at the same time. Every store goes through here, so that a
// test can stop the writer between any two of them, and the bytes are counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>

#include "fairlead/wire.h"

namespace fairlead::ebpf {

class Store {
 public:
  // Ordinary bytes of something no reader can reach yet.
  void Fill(void* to, const void* from, size_t size) {
    Before();
    std::memcpy(to, from, size);
    bytes_ += size;
  }

  // The one word that makes what was filled before it visible: all earlier stores are seen by whoever sees
  // this one.
  template <typename Word>
  void Publish(Word& to, Word value) {
    static_assert(sizeof(Word) == 8);
    Before();
    uint64_t raw;
    std::memcpy(&raw, &value, sizeof(raw));
    std::atomic_ref<uint64_t>(reinterpret_cast<uint64_t&>(to)).store(raw, std::memory_order_release);
    bytes_ += sizeof(raw);
  }

  // Sets bits of a word that programs set bits of too.
  void Or(__u64& to, uint64_t bits) {
    Before();
    std::atomic_ref<uint64_t>(reinterpret_cast<uint64_t&>(to)).fetch_or(bits);
    bytes_ += sizeof(bits);
  }

  uint64_t bytes() const { return bytes_; }

  // For tests: called before each store; may throw to play a crash.
  std::function<void()> on_store;

 private:
  void Before() {
    if (on_store) on_store();
  }
  uint64_t bytes_ = 0;
};

}  // namespace fairlead::ebpf
