// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/flow_text.h"

#include <netinet/in.h>

#include <array>

#include <fmt/format.h>

#include "agent/base/address.h"
#include "agent/datapath/ebpf/encode.h"
#include "fairlead/flags.h"

namespace fairlead::test {

namespace {

std::string End(const ip_addr& address, __be16 port) {
  return AddressPort(Address{address}, ebpf::PortFromWire(port));
}

}  // namespace

std::string_view StateWord(uint8_t state) {
  constexpr std::array<std::string_view, FLOW_STATES> kWords = {
      "free", "established", "stream", "half closed", "unreplied", "syn", "closed"};
  return state < kWords.size() ? kWords[state] : "no state";
}

std::string_view EgressWord(uint8_t egress) {
  constexpr std::array<std::string_view, 5> kWords = {"unknown", "stack", "device", "neighbour", "peer"};
  return egress < kWords.size() ? kWords[egress] : "no egress";
}

std::string FlowText(const flow& entry) {
  std::string text = fmt::format(
      "{} {} > {} becomes {} > {}, {}", entry.key.proto == IPPROTO_TCP ? "TCP" : "UDP",
      End(entry.key.src, entry.key.sport), End(entry.key.dst, entry.key.dport),
      End(entry.to_src, entry.to_sport), End(entry.to_dst, entry.to_dport), StateWord(entry.state));
  if (entry.flags & FLOW_REPLY) text += ", reply";
  if (entry.flags & FLOW_MASQUERADED) text += ", masqueraded";
  if (entry.flags & FLOW_LOCAL) text += ", local";
  if (entry.flags & FLOW_DSR) text += ", dsr";
  if (entry.flags & FLOW_FIN_CLIENT) text += ", client closed";
  if (entry.flags & FLOW_FIN_BACKEND) text += ", backend closed";
  return text;
}

}  // namespace fairlead::test
