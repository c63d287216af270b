// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/sets.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include <fmt/format.h>

namespace fairlead::ipvs {

namespace {

struct SetType {
  std::string_view name, type;
};

// Elements a set may hold; the kernel's default of 65536 is less than a large cluster's frontends.
constexpr std::string_view kHashSize = "hashsize 1024 maxelem 4194304";

const SetType& TypeOf(SetKind kind) {
  static constexpr SetType kTypes[] = {
      {"PODS", "hash:net"},          {"HEALTH", "bitmap:port"},        {"RANGES", "hash:ip,port,net"},
      {"RANGED", "hash:ip,port"},    {"LOCAL-NONE", "hash:ip,port"},   {"NO-BACKENDS", "hash:ip,port"},
      {"MASQ-ALL", "hash:ip,port"},  {"MASQ-OUTSIDE", "hash:ip,port"}, {"HAIRPIN", "hash:ip,port,ip"},
      {"FRONTENDS", "hash:ip,port"}, {"ADDRESSES", "hash:ip"},
  };
  return kTypes[static_cast<size_t>(kind)];
}

std::string_view ProtocolText(plan::Protocol protocol) {
  return protocol == plan::Protocol::kTcp ? "tcp" : protocol == plan::Protocol::kUdp ? "udp" : "sctp";
}

std::optional<plan::Protocol> ParseProtocol(std::string_view text) {
  for (auto protocol : {plan::Protocol::kTcp, plan::Protocol::kUdp, plan::Protocol::kSctp}) {
    if (text == ProtocolText(protocol)) return protocol;
  }
  return std::nullopt;
}

std::optional<SetId> IdOf(std::string_view name) {
  for (SetKind kind : kSetKinds) {
    for (Family family : {Family::kIpv4, Family::kIpv6}) {
      if (name == SetName({kind, family})) return SetId{kind, family};
    }
  }
  return std::nullopt;
}

std::string NetText(const Cidr& cidr) {
  const bool whole = cidr.bits == (cidr.GetFamily() == Family::kIpv4 ? 32 : 128);
  return whole ? cidr.base.ToString() : cidr.ToString();
}

// The next word of a line, and off with it.
std::string_view Word(std::string_view& line) {
  const size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
  return word;
}

}  // namespace

std::string SetName(SetId id) {
  return fmt::format("FAIRLEAD-{}{}", TypeOf(id.kind).name, id.family == Family::kIpv6 ? "-6" : "");
}

std::string FrontendText(const ServerKey& key) {
  return fmt::format("{},{}:{}", key.address.ToString(), ProtocolText(key.protocol), key.port);
}

Element FrontendElement(const ServerKey& key) {
  return {{SetKind::kFrontends, key.address.GetFamily()}, FrontendText(key)};
}

Element AddressElement(const Address& address) {
  return {{SetKind::kAddresses, address.GetFamily()}, address.ToString()};
}

std::vector<std::string> NetTexts(const Cidr& cidr) {
  if (cidr.bits != 0) return {NetText(cidr)};
  Cidr lower{cidr.base, 1}, upper{cidr.base, 1};
  upper.base.raw.bytes[cidr.GetFamily() == Family::kIpv4 ? 12 : 0] |= 0x80;
  return {NetText(lower), NetText(upper)};
}

std::string CreateSets(Family family) {
  std::string text;
  for (SetKind kind : kSetKinds) {
    const SetType& type = TypeOf(kind);
    if (kind == SetKind::kHealth) {
      text += fmt::format("create {} {} range 0-65535\n", SetName({kind, family}), type.type);
    } else {
      text += fmt::format("create {} {} family {} {}\n", SetName({kind, family}), type.type,
                          family == Family::kIpv4 ? "inet" : "inet6", kHashSize);
    }
  }
  return text;
}

std::string AddElements(std::span<const Element> elements) {
  std::string text;
  for (const Element& element : elements)
    fmt::format_to(std::back_inserter(text), "add {} {}\n", SetName(element.set), element.text);
  return text;
}

std::string RemoveElements(std::span<const Element> elements) {
  std::string text;
  for (size_t i = elements.size(); i-- > 0;)
    fmt::format_to(std::back_inserter(text), "del {} {}\n", SetName(elements[i].set), elements[i].text);
  return text;
}

SavedSets ReadSave(std::string_view text) {
  SavedSets saved;
  std::string last_name;  // elements of a set come one after the other
  std::optional<SetId> last_id;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const std::string_view verb = Word(line);
    const std::string_view name = Word(line);
    if (!name.starts_with("FAIRLEAD-")) continue;
    if (verb == "create") saved.names.emplace(name);
    if (verb != "add") continue;
    if (name != last_name) {
      last_name = name;
      last_id = IdOf(name);
    }
    if (last_id) saved.elements.insert({*last_id, std::string(Word(line))});
  }
  return saved;
}

bool ParseFrontend(const Element& element, ServerKey& key) {
  const std::string_view text = element.text;
  const size_t comma = text.rfind(',');
  const size_t colon = text.rfind(':');
  if (comma == std::string_view::npos || colon == std::string_view::npos || colon < comma) return false;
  const auto address = Address::Parse(text.substr(0, comma));
  const auto protocol = ParseProtocol(text.substr(comma + 1, colon - comma - 1));
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || !protocol || ec != std::errc() || end != digits.data() + digits.size()) return false;
  key = {*address, port, *protocol};
  return true;
}

}  // namespace fairlead::ipvs
