// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/element.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

namespace fairlead::nftables {

namespace {

// What a key or value is made of, for its text.
enum class Field : uint8_t { kAddress, kProtocol, kPort, kSlot };

constexpr std::string_view kByFrontend = "type ADDR . inet_proto . inet_service : verdict;";
constexpr std::string_view kByNodePort = "type inet_proto . inet_service : verdict;";

constexpr SetSpec kSpecs[kSets] = {
    {"services", true, true, kByFrontend},
    {"backends", true, false,
     "typeof IP daddr . meta l4proto . th dport . numgen random mod 2 : IP daddr . th dport;"},
    {"nodeports", true, true, kByNodePort},
    {"nodeport-backends", true, false,
     "typeof meta l4proto . th dport . numgen random mod 2 : IP daddr . th dport;"},
    {"no-endpoints", true, true, kByFrontend},
    {"no-endpoint-nodeports", true, true, kByNodePort},
    {"cluster-ips", false, false, "type ADDR;"},
    {"guarded", false, false, "type ADDR . inet_proto . inet_service;"},
    {"source-ranges", false, false, "type ADDR . inet_proto . inet_service . ADDR; flags interval;"},
    {"hairpin", false, false, "type ADDR . ADDR;"},
    {"sticky", true, true, kByFrontend},
    {"sticky-nodeports", true, true, kByNodePort},
    {"sticky-here", true, true, kByFrontend},
    {"sticky-here-nodeports", true, true, kByNodePort},
    {"remember", true, true, kByFrontend},
    {"remember-nodeports", true, true, kByNodePort},
};

std::vector<Field> KeyFields(Set set) {
  switch (set) {
    case Set::kClusterIps:
      return {Field::kAddress};
    case Set::kHairpin:
      return {Field::kAddress, Field::kAddress};
    case Set::kBackends:
      return {Field::kAddress, Field::kProtocol, Field::kPort, Field::kSlot};
    case Set::kNodePortBackends:
      return {Field::kProtocol, Field::kPort, Field::kSlot};
    case Set::kSourceRanges:
      return {Field::kAddress, Field::kProtocol, Field::kPort, Field::kAddress};
    case Set::kNodePorts:
    case Set::kNoEndpointNodePorts:
    case Set::kStickyNodePorts:
    case Set::kStickyHereNodePorts:
    case Set::kRememberNodePorts:
      return {Field::kProtocol, Field::kPort};
    default:
      return {Field::kAddress, Field::kProtocol, Field::kPort};
  }
}

std::string AddressText(Family family, const uint8_t* at) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(family == Family::kIpv4 ? AF_INET : AF_INET6, at, text, sizeof(text));
  return text;
}

size_t AddressSize(Family family) {
  return family == Family::kIpv4 ? 4 : 16;
}

std::string FieldText(Field field, Family family, const uint8_t* at) {
  uint32_t slot = 0;
  switch (field) {
    case Field::kAddress:
      return AddressText(family, at);
    case Field::kProtocol:
      return std::string(at[0] == IPPROTO_TCP ? "tcp" : at[0] == IPPROTO_UDP ? "udp" : "sctp");
    case Field::kPort:
      return std::to_string(at[0] << 8 | at[1]);
    case Field::kSlot:
      std::memcpy(&slot, at, sizeof(slot));
      return std::to_string(slot);
  }
  std::unreachable();
}

std::string BytesText(const std::vector<Field>& fields, Family family, const Bytes& bytes, const Bytes& end) {
  std::string text;
  size_t at = 0;
  for (Field field : fields) {
    if (at + (field == Field::kAddress ? AddressSize(family) : 4) > bytes.size) break;
    if (at > 0) text += " . ";
    const std::string first = FieldText(field, family, &bytes.data[at]);
    const std::string last = end.size == 0 ? first : FieldText(field, family, &end.data[at]);
    text += first == last ? first : first + "-" + last;
    at += field == Field::kAddress ? AddressSize(family) : 4;
  }
  return text;
}

// FNV-1a over words, with a finishing multiplication: place and content need to differ, not to be secret.
class Hash {
 public:
  explicit Hash(uint64_t seed) : state_(seed) {}
  void Add(const void* data, size_t size) {
    const auto* at = static_cast<const uint8_t*>(data);
    for (; size > 0; size -= std::min<size_t>(size, 8), at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, at, std::min<size_t>(size, 8));
      state_ = (std::rotl(state_, 23) ^ word) * 0x9e3779b97f4a7c15ULL;
      state_ ^= state_ >> 29;
    }
  }
  void Add(const Bytes& bytes) {
    Add(&bytes.size, 1);
    Add(bytes.data.data(), bytes.size);
  }
  void Add(std::string_view text) {
    const size_t size = text.size();
    Add(&size, sizeof(size));
    Add(text.data(), size);
  }
  uint64_t Value() const { return state_; }

 private:
  uint64_t state_;
};

}  // namespace

const SetSpec& SpecOf(Set set) {
  return kSpecs[static_cast<size_t>(set)];
}

std::string SetName(Set set, Family family) {
  return std::string(SpecOf(set).name) + (family == Family::kIpv4 ? '4' : '6');
}

Bytes& Bytes::Add(const Address& address) {
  const size_t length = AddressSize(address.GetFamily());
  std::memcpy(&data[size], &address.raw.bytes[16 - length], length);
  size = static_cast<uint8_t>(size + length);
  return *this;
}

Bytes& Bytes::AddPort(uint16_t port) {
  data[size] = static_cast<uint8_t>(port >> 8);
  data[size + 1U] = static_cast<uint8_t>(port & 0xff);
  size = static_cast<uint8_t>(size + 4);
  return *this;
}

Bytes& Bytes::Add(plan::Protocol protocol) {
  data[size] = std::to_underlying(protocol);
  size = static_cast<uint8_t>(size + 4);
  return *this;
}

Bytes& Bytes::AddSlot(uint32_t slot) {
  std::memcpy(&data[size], &slot, sizeof(slot));
  size = static_cast<uint8_t>(size + 4);
  return *this;
}

Digest DigestOf(const Element& element) {
  Hash place(static_cast<uint64_t>(element.set) << 8 | static_cast<uint64_t>(element.family));
  place.Add(element.key);
  place.Add(element.key_end);
  Hash content = place;
  content.Add(element.value);
  content.Add(&element.verdict, sizeof(element.verdict));
  content.Add(element.chain);
  content.Add(element.comment);
  return {place.Value(), content.Value()};
}

uint64_t OwnerOf(const Element& element) {
  const std::vector<Field> fields = KeyFields(element.set);
  const bool node_port = fields[0] == Field::kProtocol;
  const bool frontend = node_port || (fields.size() > 1 && fields[1] == Field::kProtocol);
  if (!frontend) return DigestOf(element).place;
  Hash owner(static_cast<uint64_t>(node_port) << 8 | static_cast<uint64_t>(element.family));
  owner.Add(element.key.data.data(), (node_port ? 0 : AddressSize(element.family)) + 8);
  return owner.Value();
}

std::string ToText(const Element& element) {
  std::string text = BytesText(KeyFields(element.set), element.family, element.key, element.key_end);
  if (!element.comment.empty()) text += fmt::format(" comment \"{}\"", element.comment);
  const SetSpec& spec = SpecOf(element.set);
  if (!spec.map) return text;
  if (!spec.verdicts)
    return text + " : " + BytesText({Field::kAddress, Field::kPort}, element.family, element.value, {});
  if (element.verdict == Verdict::kDrop) return text + " : drop";
  return text + (element.verdict == Verdict::kGoto ? " : goto " : " : jump ") + element.chain;
}

}  // namespace fairlead::nftables
