// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/names.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace fairlead::iptables {

namespace {

constexpr size_t kHashLength = 15;
constexpr size_t kCommentLength = 200;  // iptables takes 255
constexpr std::string_view kOurs = "FAIRLEAD-";
constexpr std::string_view kOfIpvs = "FAIRLEAD-IPVS-";

}  // namespace

std::string_view TableName(Table table) {
  return table == Table::kNat ? "nat" : "filter";
}

bool IsOurs(std::string_view chain) {
  return chain.starts_with(kOurs) && !chain.starts_with(kOfIpvs);
}

bool IsOfService(std::string_view chain) {
  static constexpr std::string_view kKinds[] = {"SVC-", "LOC-", "EXT-", "INT-", "FW-", "GRP-"};
  if (!chain.starts_with(kOurs)) return false;
  chain.remove_prefix(kOurs.size());
  return std::ranges::any_of(kKinds, [&](std::string_view kind) { return chain.starts_with(kind); });
}

std::string HashedName(std::string_view prefix, std::string_view what) {
  static constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(what.data()), what.size(), digest.data());
  std::string name(prefix);
  for (size_t i = 0; i < kHashLength; ++i) name += kDigits[digest[i] & 31];
  return name;
}

std::string ServiceChain(std::string_view kind, const plan::ServicePortKey& key, std::string_view more) {
  return HashedName(fmt::format("{}{}-", kOurs, kind), key.ToString() + std::string(more));
}

std::string CommentMatch(std::string_view text) {
  std::string safe(text.substr(0, kCommentLength));
  for (char& c : safe) {
    const bool harmless = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          std::string_view(" -_./:,()").contains(c);
    if (!harmless) c = '_';
  }
  return fmt::format("-m comment --comment \"{}\"", safe);
}

std::string CommentOf(const plan::ServicePortKey& key) {
  return key.service.ToString() + ":" + key.port;
}

std::string PortMatch(plan::Protocol protocol, std::string_view comment, uint16_t port) {
  const std::string_view word = ProtocolWord(protocol);
  return fmt::format("-p {} {} -m {} --dport {}", word, CommentMatch(comment), word, port);
}

std::string Host(const Address& address) {
  return fmt::format("{}/{}", address.ToString(), address.GetFamily() == Family::kIpv4 ? 32 : 128);
}

void AddRule(std::string& body, std::string_view chain, std::string_view rule) {
  fmt::format_to(std::back_inserter(body), "-A {} {}\n", chain, rule);
}

void CommentFirst(std::string& body, std::string_view comment) {
  const size_t jump = body.find(" -j ");
  if (jump != std::string::npos) body.insert(jump, " " + CommentMatch(comment));
}

}  // namespace fairlead::iptables
