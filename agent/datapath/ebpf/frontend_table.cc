// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/frontend_table.h"

#include <cstring>

namespace fairlead::ebpf {

namespace {

bool IsLive(const frontend_slot& slot) {
  uint64_t word;
  std::memcpy(&word, &slot.value, sizeof(word));
  return word != 0;
}

// A key's scope is never 0, an empty slot's is.
bool IsEmpty(const frontend_slot& slot) {
  return slot.scope == 0;
}

}  // namespace

frontend_key KeyOf(const frontend_slot& slot) {
  frontend_key key{};
  key.addr = slot.addr;
  key.port = slot.port;
  key.proto = slot.proto;
  key.scope = slot.scope;
  return key;
}

FrontendTable::FrontendTable(std::span<frontend_slot> slots, uint64_t seed, Store& store,
                             Reclaimer& reclaimer)
    : slots_(slots), seed_(seed), store_(store), reclaimer_(reclaimer), retired_(slots.size()) {}

void FrontendTable::Restore() {
  live_ = 0;
  for (const frontend_slot& slot : slots_) live_ += IsLive(slot);
  for (size_t i = slots_.size(); i-- > 0;) Empty(static_cast<uint32_t>(i));
}

frontend_slot* FrontendTable::Find(const frontend_key& key) const {
  uint32_t mask = static_cast<uint32_t>(slots_.size() - 1);
  uint32_t first = frontend_hash(&key, seed_);
  for (uint32_t probe = 0; probe < FRONTEND_PROBES; ++probe) {
    frontend_slot& slot = slots_[(first + probe) & mask];
    if (IsEmpty(slot)) return nullptr;
    if (SameKey(KeyOf(slot), key)) return &slot;
  }
  return nullptr;
}

Result<void> FrontendTable::Set(const frontend_key& key, uint32_t service_id, frontend value) {
  if (frontend_slot* slot = Find(key)) {
    bool was_live = IsLive(*slot);
    if (!was_live && live_ >= capacity()) {
      return Fail(ErrorKind::kExhausted, "frontends: all {} are in use (capacities.frontends)", capacity());
    }
    if (was_live && slot->service_id == service_id && std::memcmp(&slot->value, &value, sizeof(value)) == 0)
      return {};
    if (slot->service_id != service_id) store_.Fill(&slot->service_id, &service_id, sizeof(service_id));
    store_.Publish(slot->value, value);
    live_ += !was_live;
    return {};
  }
  if (live_ >= capacity()) {
    return Fail(ErrorKind::kExhausted, "frontends: all {} are in use (capacities.frontends)", capacity());
  }
  uint32_t mask = static_cast<uint32_t>(slots_.size() - 1);
  uint32_t first = frontend_hash(&key, seed_);
  for (uint32_t probe = 0; probe < FRONTEND_PROBES; ++probe) {
    uint32_t index = (first + probe) & mask;
    frontend_slot& slot = slots_[index];
    if (IsLive(slot) || retired_[index] > 0) continue;
    frontend_slot filled{};
    filled.addr = key.addr;
    filled.port = key.port;
    filled.proto = key.proto;
    filled.scope = key.scope;
    filled.service_id = service_id;
    store_.Fill(&slot, &filled, offsetof(frontend_slot, value));
    store_.Publish(slot.value, value);
    ++live_;
    return {};
  }
  return Fail(ErrorKind::kExhausted,
              "frontends: no free slot within {} probes; a larger capacities.frontends spreads them again",
              FRONTEND_PROBES);
}

void FrontendTable::Kill(const frontend_key& key) {
  frontend_slot* slot = Find(key);
  if (!slot || !IsLive(*slot)) return;
  store_.Publish(slot->value, frontend{});
  --live_;
  auto index = static_cast<uint32_t>(slot - slots_.data());
  // A slot that dies, is revived and dies again has to outlive the readers of both lives.
  ++retired_[index];
  reclaimer_.Retire([this, index] {
    --retired_[index];
    Empty(index);
  });
}

void FrontendTable::Empty(uint32_t index) {
  // A dead slot before an empty one ends no probe that anybody needs: it may be empty too, and so on
  // backwards.
  uint32_t mask = static_cast<uint32_t>(slots_.size() - 1);
  while (!IsEmpty(slots_[index]) && !IsLive(slots_[index]) && retired_[index] == 0 &&
         IsEmpty(slots_[(index + 1) & mask])) {
    frontend_slot nothing{};
    store_.Fill(&slots_[index], &nothing, offsetof(frontend_slot, value));
    index = (index - 1) & mask;
  }
}

std::optional<frontend> FrontendTable::Get(const frontend_key& key) const {
  const frontend_slot* slot = Find(key);
  if (!slot || !IsLive(*slot)) return std::nullopt;
  return slot->value;
}

void FrontendTable::ForEach(const std::function<void(const frontend_key&, uint32_t, frontend)>& visit) const {
  for (const frontend_slot& slot : slots_) {
    if (IsLive(slot)) visit(KeyOf(slot), slot.service_id, slot.value);
  }
}

}  // namespace fairlead::ebpf
