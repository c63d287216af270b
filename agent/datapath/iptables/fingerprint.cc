// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/fingerprint.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::iptables {

namespace {

class Generation : public Fingerprint {
 public:
  explicit Generation(Netlink netlink) : netlink_(std::move(netlink)) {}
  bool exact() const override { return true; }

  std::string Take() override {
    uint32_t id = 0;
    const nfgenmsg about{AF_UNSPEC, NFNETLINK_V0, 0};
    auto asked =
        netlink_.Ask(NetlinkRequest(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, about),
                     [&](const NetlinkMessage& message) {
                       for (const auto& attribute : NetlinkAttributes(message.body, sizeof(nfgenmsg))) {
                         if (attribute.type == NFTA_GEN_ID) id = ntohl(attribute.As<uint32_t>());
                       }
                     });
    return asked ? std::to_string(id) : "";
  }

 private:
  Netlink netlink_;
};

class TableInfo : public Fingerprint {
 public:
  TableInfo(Fd socket, Family family) : socket_(std::move(socket)), family_(family) {}
  bool exact() const override { return false; }

  std::string Take() override {
    std::string all;
    for (Table table : kTables) {
      const std::string one = family_ == Family::kIpv4 ? Of<ipt_getinfo>(table, IPPROTO_IP)
                                                       : Of<ip6t_getinfo>(table, IPPROTO_IPV6);
      if (one.empty()) return {};
      all += one;
    }
    return all;
  }

 private:
  template <typename Info>
  std::string Of(Table table, int level) {
    static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO);
    Info info{};
    socklen_t size = sizeof(info);
    TableName(table).copy(info.name, sizeof(info.name) - 1);
    if (::getsockopt(socket_.Get(), level, IPT_SO_GET_INFO, &info, &size) != 0) return {};
    return fmt::format("{} {} {};", info.num_entries, info.size, fmt::join(info.hook_entry, ","));
  }

  Fd socket_;
  Family family_;
};

}  // namespace

Result<std::unique_ptr<Fingerprint>> OpenFingerprint(Backend::Kind kind, Family family) {
  if (kind == Backend::Kind::kNfTables) {
    auto netlink = Netlink::Open(NETLINK_NETFILTER);
    if (!netlink) return std::unexpected(std::move(netlink.error()).In("watch nf_tables"));
    return std::make_unique<Generation>(std::move(*netlink));
  }
  const int domain = family == Family::kIpv4 ? AF_INET : AF_INET6;
  Fd socket(::socket(domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!socket) return FailErrno(errno, "watch the tables of {}: raw socket", FamilyName(family));
  return std::make_unique<TableInfo>(std::move(socket), family);
}

}  // namespace fairlead::iptables
