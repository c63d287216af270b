// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/map_rule.h"

#include <utility>

#include <fmt/format.h>

#include "agent/datapath/nftables/element.h"

namespace fairlead::nftables {

std::string MapRule::ToText() const {
  const std::string_view ip = family == Family::kIpv4 ? "ip" : "ip6";
  const std::string frontend =
      node_port ? "meta l4proto . th dport" : fmt::format("{} daddr . meta l4proto . th dport", ip);
  std::string number = fmt::format("numgen random mod {}", count);
  if (offset != 0) number += fmt::format(" offset {}", offset);
  switch (kind) {
    case Kind::kFollow:
      return fmt::format("{} vmap @{}", frontend, map);
    case Kind::kChoose:
      return fmt::format("dnat {} to {} . {} map @{}", ip, frontend, number, map);
    case Kind::kRecall:
      return fmt::format("meta l4proto {} dnat {} to {} saddr map @{}", ProtocolWord(protocol), ip, ip, map);
    case Kind::kRemember:
      return fmt::format("meta l4proto {} update @{} {{ {} saddr timeout {}s : {} daddr . th dport }}",
                         ProtocolWord(protocol), map, ip, timeout_s, ip);
  }
  std::unreachable();
}

}  // namespace fairlead::nftables
