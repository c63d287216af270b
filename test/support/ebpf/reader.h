// SPDX-License-Identifier: Apache-2.0
// The programs' way through the tables (bpf/lib/frontend.bpf.h, bpf/lib/run.bpf.h), load by load and with
// their order, in C++: what a packet or a connect() would find at this moment. May run while a writer works.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/base/address.h"
#include "agent/datapath/ebpf/table.h"

namespace fairlead::test {

class Reader {
 public:
  explicit Reader(const ebpf::Tables& tables) : tables_(tables) {}

  // The word of the key's live slot.
  std::optional<frontend> Find(const frontend_key& key) const;
  // Bits of enum address_role.
  uint32_t Roles(const Address& address) const;

  // Null where a program would get NULL: outside the table.
  const run* Head(frontend found) const;
  const backend* Backend(frontend found, uint32_t i) const;
  const backend* Maglev(frontend found, const run& head, uint32_t hash) const;
  // Whether the run offers the backend or lets it drain, by binary search.
  bool Holds(frontend found, const run& head, uint32_t backend_id) const;

  bool InServiceCidr(const Address& address) const;

  const ebpf::Tables& tables() const { return tables_; }

 private:
  static constexpr uint32_t kNotFound = ~0U;
  uint32_t Search(uint32_t first, uint32_t count, uint32_t backend_id) const;

  ebpf::Tables tables_;
};

}  // namespace fairlead::test
