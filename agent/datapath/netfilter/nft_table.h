// SPDX-License-Identifier: Apache-2.0
// Tables of nf_tables as wholes, by name. By netlink and not by the program nft, which may die of a table
// that a newer one has made. A kernel without nf_tables has no tables, which is no error.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "agent/base/error.h"

namespace fairlead::netfilter {

struct NftTable {
  uint8_t family = 0;  // NFPROTO_*
  std::string name;

  std::string ToString() const;  // "ip6 kube-proxy"
  friend auto operator<=>(const NftTable&, const NftTable&) = default;
};

// What the kernel answers a request to nf_tables with where it has none, or none of that family.
bool TellsOfNoNfTables(const Error& error);
Result<bool> HasNfTables();

// Those of this network namespace.
Result<std::set<NftTable>> ListNftTables();
// With everything in it; false: there was none.
Result<bool> RemoveNftTable(const NftTable& table);

}  // namespace fairlead::netfilter
