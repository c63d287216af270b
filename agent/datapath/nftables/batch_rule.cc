// SPDX-License-Identifier: Apache-2.0
// Rules as nf_tables takes them: a list of expressions that load, compare, look up and act. Sixteen registers
// of 4 bytes; what is put together is in neighbouring ones.
#include <endian.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <cstddef>
#include <utility>

#include "agent/datapath/nftables/batch.h"
#include "agent/datapath/nftables/script.h"

namespace fairlead::nftables {

namespace {

constexpr uint32_t kFirst = NFT_REG32_00;

uint32_t AddressSize(Family family) {
  return family == Family::kIpv4 ? 4 : 16;
}

uint32_t SourceOffset(Family family) {
  return family == Family::kIpv4 ? offsetof(iphdr, saddr) : offsetof(ipv6hdr, saddr);
}

}  // namespace

// An expression that has numbers, and one name at most, for attributes.
void Batch::PutExpression(std::string_view name, std::initializer_list<std::pair<uint16_t, uint32_t>> numbers,
                          std::pair<uint16_t, std::string_view> set) {
  const size_t listed = Nest(NFTA_LIST_ELEM);
  Put(NFTA_EXPR_NAME, name);
  const size_t data = Nest(NFTA_EXPR_DATA);
  if (!set.second.empty()) Put(set.first, set.second);
  for (const auto& [type, number] : numbers) PutNumber(type, number);
  Close(data);
  Close(listed);
}

// The rule goes on where the packet's `meta_key` is that.
void Batch::PutMatch(uint32_t meta_key, uint8_t value) {
  PutExpression("meta", {{NFTA_META_DREG, kFirst}, {NFTA_META_KEY, meta_key}});
  const size_t listed = Nest(NFTA_LIST_ELEM);
  Put(NFTA_EXPR_NAME, "cmp");
  const size_t data = Nest(NFTA_EXPR_DATA);
  PutNumber(NFTA_CMP_SREG, kFirst);
  PutNumber(NFTA_CMP_OP, NFT_CMP_EQ);
  const size_t right = Nest(NFTA_CMP_DATA);
  Put(NFTA_DATA_VALUE, std::span(&value, 1));
  Close(right);
  Close(data);
  Close(listed);
}

void Batch::PutLoad(uint32_t base, uint32_t offset, uint32_t size, uint32_t into) {
  PutExpression("payload", {{NFTA_PAYLOAD_DREG, into},
                            {NFTA_PAYLOAD_BASE, base},
                            {NFTA_PAYLOAD_OFFSET, offset},
                            {NFTA_PAYLOAD_LEN, size}});
}

// Loads the frontend from the first register on; returns the next register.
uint32_t Batch::PutFrontend(const MapRule& rule) {
  uint32_t next = kFirst;
  if (!rule.node_port) {
    const uint32_t size = AddressSize(rule.family);
    PutLoad(NFT_PAYLOAD_NETWORK_HEADER, SourceOffset(rule.family) + size, size, next);
    next += size / 4;
  }
  PutExpression("meta", {{NFTA_META_DREG, next}, {NFTA_META_KEY, NFT_META_L4PROTO}});
  PutLoad(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, next + 1);  // the destination's port
  return next + 2;
}

// To the address and port that `map` has for what is loaded; without such the next rule has its turn.
void Batch::PutTranslation(const MapRule& rule) {
  const uint32_t port = kFirst + AddressSize(rule.family) / 4;
  PutExpression("lookup", {{NFTA_LOOKUP_SREG, kFirst}, {NFTA_LOOKUP_DREG, kFirst}},
                {NFTA_LOOKUP_SET, rule.map});
  PutExpression("nat", {{NFTA_NAT_TYPE, NFT_NAT_DNAT},
                        {NFTA_NAT_FAMILY, rule.family == Family::kIpv4 ? NFPROTO_IPV4 : NFPROTO_IPV6},
                        {NFTA_NAT_REG_ADDR_MIN, kFirst},
                        {NFTA_NAT_REG_ADDR_MAX, kFirst},
                        {NFTA_NAT_REG_PROTO_MIN, port},
                        {NFTA_NAT_REG_PROTO_MAX, port},
                        {NFTA_NAT_FLAGS, NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED}});
}

void Batch::PutUpdate(const MapRule& rule) {
  const uint32_t size = AddressSize(rule.family);
  const uint32_t source = SourceOffset(rule.family);
  const uint32_t backend = NFT_REG32_04;
  PutLoad(NFT_PAYLOAD_NETWORK_HEADER, source, size, kFirst);
  PutLoad(NFT_PAYLOAD_NETWORK_HEADER, source + size, size, backend);
  PutLoad(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, backend + size / 4);
  const size_t listed = Nest(NFTA_LIST_ELEM);
  Put(NFTA_EXPR_NAME, "dynset");
  const size_t data = Nest(NFTA_EXPR_DATA);
  Put(NFTA_DYNSET_SET_NAME, rule.map);
  PutNumber(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
  PutNumber(NFTA_DYNSET_SREG_KEY, kFirst);
  PutNumber(NFTA_DYNSET_SREG_DATA, backend);
  const uint64_t timeout_ms = htobe64(uint64_t{rule.timeout_s} * 1000);
  Put(NFTA_DYNSET_TIMEOUT, std::span(reinterpret_cast<const uint8_t*>(&timeout_ms), sizeof(timeout_ms)));
  Close(data);
  Close(listed);
}

void Batch::Add(const MapRule& rule) {
  BeginRule(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rule.chain);
  const size_t expressions = Nest(NFTA_RULE_EXPRESSIONS);
  const bool v4 = rule.family == Family::kIpv4;
  if (!rule.node_port || rule.kind != MapRule::Kind::kFollow)
    PutMatch(NFT_META_NFPROTO, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
  switch (rule.kind) {
    case MapRule::Kind::kFollow:
      PutFrontend(rule);
      PutExpression("lookup", {{NFTA_LOOKUP_SREG, kFirst}, {NFTA_LOOKUP_DREG, NFT_REG_VERDICT}},
                    {NFTA_LOOKUP_SET, rule.map});
      break;
    case MapRule::Kind::kChoose:
      PutExpression("numgen", {{NFTA_NG_DREG, PutFrontend(rule)},
                               {NFTA_NG_MODULUS, rule.count},
                               {NFTA_NG_TYPE, NFT_NG_RANDOM},
                               {NFTA_NG_OFFSET, rule.offset}});
      PutTranslation(rule);
      break;
    case MapRule::Kind::kRecall:
      PutMatch(NFT_META_L4PROTO, std::to_underlying(rule.protocol));
      PutLoad(NFT_PAYLOAD_NETWORK_HEADER, SourceOffset(rule.family), AddressSize(rule.family), kFirst);
      PutTranslation(rule);
      break;
    case MapRule::Kind::kRemember:
      PutMatch(NFT_META_L4PROTO, std::to_underlying(rule.protocol));
      PutUpdate(rule);
      break;
  }
  Close(expressions);
  End(open_message_);
}

void Batch::FlushChain(const std::string& chain) {
  BeginRule(NFT_MSG_DELRULE, 0, chain);
  End(open_message_);
}

}  // namespace fairlead::nftables
