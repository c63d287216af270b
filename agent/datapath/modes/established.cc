// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/modes/established.h"

#include <linux/netfilter.h>

#include "agent/base/exec.h"
#include "agent/base/log.h"
#include "agent/datapath/netfilter/established.h"
#include "agent/datapath/netfilter/nft_table.h"

namespace fairlead::modes {

namespace {

// The rule has connections tracked, and changes nothing: its verdict is the chain's policy. The chain's
// family makes the hooks of both.
constexpr std::string_view kScript =
    R"(add table inet fairlead-established { comment "keeps connections alive that other rules began"; }
add chain inet fairlead-established prerouting { type nat hook prerouting priority -100; }
add chain inet fairlead-established input { type nat hook input priority 100; }
add chain inet fairlead-established output { type nat hook output priority -100; }
add chain inet fairlead-established postrouting { type nat hook postrouting priority 100; }
flush chain inet fairlead-established prerouting
add rule inet fairlead-established prerouting ct state new accept
)";

const netfilter::NftTable& Table() {
  static const netfilter::NftTable table{NFPROTO_INET, "fairlead-established"};
  return table;
}

Result<void> Make() {
  auto made = ExecuteOrFail({.argv = {"nft", "-f", "-"}, .input = kScript});
  if (!made)
    return std::unexpected(std::move(made.error()).In(fmt::format("make table {}", Table().ToString())));
  spdlog::info("established connections of earlier rules go on: table {} stands while there are any",
               Table().ToString());
  return {};
}

}  // namespace

Result<void> KeepEstablished() {
  auto tables = netfilter::ListNftTables();
  if (!tables) return std::unexpected(tables.error());
  auto translated = netfilter::HasTranslatedEntries();
  if (!translated) return std::unexpected(translated.error());
  const bool stands = tables->contains(Table());
  if (*translated == stands) return {};
  if (*translated) return Make();
  auto removed = netfilter::RemoveNftTable(Table());
  if (!removed) return std::unexpected(removed.error());
  spdlog::info("no connection of earlier rules is left: table {} is gone", Table().ToString());
  return {};
}

Result<bool> ForgetEstablished() {
  return netfilter::RemoveNftTable(Table());
}

}  // namespace fairlead::modes
