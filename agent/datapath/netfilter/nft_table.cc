// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/netfilter/nft_table.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <functional>

#include "agent/base/netlink.h"

namespace fairlead::netfilter {

namespace {

constexpr uint16_t Type(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

std::string_view FamilyWord(uint8_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    default:
      return "other";
  }
}

Result<void> ForEachTable(const std::function<void(NftTable)>& visit) {
  auto netlink = Netlink::Open(NETLINK_NETFILTER);
  if (!netlink) return std::unexpected(netlink.error());
  const nfgenmsg any{NFPROTO_UNSPEC, NFNETLINK_V0, 0};
  auto asked = netlink->Ask(NetlinkRequest(Type(NFT_MSG_GETTABLE), NLM_F_DUMP, any),
                            [&](const NetlinkMessage& message) {
                              const auto fixed = message.As<nfgenmsg>();
                              if (!fixed) return;
                              for (const auto& each : NetlinkAttributes(message.body, sizeof(nfgenmsg))) {
                                if (each.type == NFTA_TABLE_NAME) visit({fixed->nfgen_family, each.Text()});
                              }
                            });
  if (!asked) return std::unexpected(std::move(asked.error()).In("list tables of nf_tables"));
  return {};
}

}  // namespace

std::string NftTable::ToString() const {
  return fmt::format("{} {}", FamilyWord(family), name);
}

// Without nfnetlink there is no such socket; without nf_tables a request is EINVAL, and a transaction
// EOPNOTSUPP (net/netfilter/nfnetlink.c). Before Linux 4.20 a family is a module of its own.
bool TellsOfNoNfTables(const Error& error) {
  constexpr int kCodes[] = {EPROTONOSUPPORT, EINVAL, EOPNOTSUPP, EAFNOSUPPORT};
  return std::ranges::find(kCodes, error.code) != std::end(kCodes);
}

Result<bool> HasNfTables() {
  auto asked = ForEachTable([](const NftTable&) {});
  if (asked) return true;
  if (TellsOfNoNfTables(asked.error())) return false;
  return std::unexpected(std::move(asked.error()));
}

Result<std::set<NftTable>> ListNftTables() {
  std::set<NftTable> tables;
  auto asked = ForEachTable([&](NftTable table) { tables.insert(std::move(table)); });
  if (asked || TellsOfNoNfTables(asked.error())) return tables;
  return std::unexpected(std::move(asked.error()));
}

Result<bool> RemoveNftTable(const NftTable& table) {
  std::array requests{NetlinkRequest(Type(NFT_MSG_DELTABLE), 0, nfgenmsg{table.family, NFNETLINK_V0, 0})};
  requests[0].AddText(NFTA_TABLE_NAME, table.name);
  auto netlink = Netlink::Open(NETLINK_NETFILTER);
  auto removed = netlink ? netlink->Transact(NFNL_SUBSYS_NFTABLES, requests)
                         : Result<void>(std::unexpected(netlink.error()));
  if (removed) return true;
  if (removed.error().kind == ErrorKind::kNotFound || TellsOfNoNfTables(removed.error())) return false;
  return std::unexpected(std::move(removed.error()).In(fmt::format("remove table {}", table.ToString())));
}

}  // namespace fairlead::netfilter
