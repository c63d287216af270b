// SPDX-License-Identifier: Apache-2.0
#include "test/support/packet/dissect.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include <fmt/ranges.h>

namespace fairlead::test {

namespace {

using View = std::span<const uint8_t>;

uint32_t U32At(View bytes, size_t at) {
  return uint32_t{U16At(bytes, at)} << 16 | U16At(bytes, at + 2);
}

Address AddressAt(View bytes, size_t at, Family family) {
  Address address;
  if (family == Family::kIpv6) {
    std::memcpy(address.raw.bytes, bytes.data() + at, 16);
  } else {
    address.raw.words[2] = IP_ADDR_V4_PREFIX;
    std::memcpy(address.raw.bytes + 12, bytes.data() + at, 4);
  }
  return address;
}

std::string TcpFlags(uint8_t flags) {
  constexpr std::string_view kNames[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
  std::vector<std::string_view> words;
  for (size_t i = 0; i < 8; ++i) {
    if (flags >> i & 1) words.push_back(kNames[i]);
  }
  return fmt::format("{}", fmt::join(words, " "));
}

bool IsExtension(uint8_t header) {
  return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
         header == IPPROTO_AH;
}

// Reads one packet into fields; `prefix` goes before each name.
class Reading {
 public:
  Reading(std::vector<Field>& fields, std::string prefix) : fields_(fields), prefix_(std::move(prefix)) {}

  void Ip(View bytes) {
    if (!bytes.empty() && bytes[0] >> 4 == 4 && bytes.size() >= 20) return Ipv4(bytes);
    if (!bytes.empty() && bytes[0] >> 4 == 6 && bytes.size() >= 40) return Ipv6(bytes);
    Rest("rest", bytes);
  }

  template <typename... Args>
  void Add(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
    fields_.push_back({prefix_ + std::string(name), fmt::format(format, std::forward<Args>(args)...)});
  }
  void Rest(std::string_view name, View bytes) {
    if (!bytes.empty()) Add(name, "{} bytes: {:02x}", bytes.size(), fmt::join(bytes, ""));
  }

 private:
  void Ipv4(View bytes);
  void Ipv6(View bytes);
  void Transport(View bytes, size_t claimed);
  void Tcp(View bytes);
  void Udp(View bytes);
  void Icmp(View bytes);
  void ChecksumField(View bytes, size_t at);

  std::vector<Field>& fields_;
  std::string prefix_;
  Address src_, dst_;
  uint8_t protocol_ = 0;
  bool whole_ = true;  // neither a fragment nor cut short: its checksum can be verified
};

void Reading::Ipv4(View bytes) {
  size_t header = size_t{bytes[0]} % 16 * 4;
  unsigned fragment = U16At(bytes, 6);
  src_ = AddressAt(bytes, 12, Family::kIpv4);
  dst_ = AddressAt(bytes, 16, Family::kIpv4);
  protocol_ = bytes[9];
  Add("source", "{}", src_.ToString());
  Add("destination", "{}", dst_.ToString());
  Add("header words", "{}", bytes[0] % 16);
  Add("tos", "{:02x}", bytes[1]);
  Add("length", "{}", U16At(bytes, 2));
  Add("id", "{}", U16At(bytes, 4));
  Add("fragment", "at {}{}{}", fragment % 0x2000 * 8, fragment & 0x2000 ? ", more follow" : "",
      fragment & 0x4000 ? ", don't" : "");
  Add("ttl", "{}", bytes[8]);
  Add("protocol", "{}", protocol_);
  if (header < 20 || header > bytes.size()) return Rest("rest", bytes.subspan(20));
  Bytes zeroed(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(header));
  SetU16At(zeroed, 10, 0);
  unsigned right = Checksum({zeroed}), is = U16At(bytes, 10);
  Add("ip checksum", "{:04x} {}", is,
      is == right ? "(right)" : fmt::format("(wrong, {:04x} is right)", right));
  Rest("ip options", bytes.subspan(20, header - 20));
  whole_ = (fragment & 0x3fff) == 0;
  Transport(bytes.subspan(header), U16At(bytes, 2) - header);
}

void Reading::Ipv6(View bytes) {
  src_ = AddressAt(bytes, 8, Family::kIpv6);
  dst_ = AddressAt(bytes, 24, Family::kIpv6);
  uint8_t next = bytes[6];
  Add("source", "{}", src_.ToString());
  Add("destination", "{}", dst_.ToString());
  Add("traffic class", "{:02x}", U16At(bytes, 0) / 16 % 256);
  Add("flow label", "{:05x}", U32At(bytes, 0) % (1U << 20));
  Add("length", "{}", U16At(bytes, 4));
  Add("ttl", "{}", bytes[7]);
  size_t at = 40, claimed = U16At(bytes, 4);
  while (at + 8 <= bytes.size() && (IsExtension(next) || next == IPPROTO_FRAGMENT)) {
    size_t size = next == IPPROTO_FRAGMENT ? 8
                  : next == IPPROTO_AH     ? (bytes[at + 1] + 2U) * 4
                                           : (bytes[at + 1] + 1U) * 8;
    size = std::min(size, bytes.size() - at);
    if (next == IPPROTO_FRAGMENT) {
      unsigned fragment = U16At(bytes, at + 2);
      Add("fragment", "at {}{} of {}", fragment & ~7U, fragment & 1 ? ", more follow" : "",
          U32At(bytes, at + 4));
      whole_ = (fragment & 0xfff9) == 0;
    } else {
      Rest(fmt::format("extension {}", next), bytes.subspan(at, size));
    }
    next = bytes[at];
    at += size;
    claimed -= std::min(claimed, size);
  }
  protocol_ = next;
  Add("protocol", "{}", protocol_);
  Transport(bytes.subspan(at), claimed);
}

void Reading::Transport(View bytes, size_t claimed) {
  bool first = true;
  for (const Field& field : fields_) {
    if (field.name == prefix_ + "fragment" && !field.value.starts_with("at 0")) first = false;
  }
  whole_ = whole_ && claimed <= bytes.size();
  if (!first) return Rest("payload", bytes);
  if (claimed < bytes.size()) {  // padding, which is not of the packet
    Rest("behind the packet", bytes.subspan(claimed));
    bytes = bytes.subspan(0, claimed);
  }
  switch (protocol_) {
    case IPPROTO_TCP:
      return Tcp(bytes);
    case IPPROTO_UDP:
      return Udp(bytes);
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return Icmp(bytes);
    case IPPROTO_IPIP:
    case IPPROTO_IPV6:
      return Reading(fields_, prefix_ + "carried ").Ip(bytes);
    default:
      return Rest("payload", bytes);
  }
}

void Reading::ChecksumField(View bytes, size_t at) {
  std::string verdict = "(of a part)";
  unsigned is = U16At(bytes, at);
  if (protocol_ == IPPROTO_UDP && is == 0) {
    verdict = src_.GetFamily() == Family::kIpv4 ? "(none)" : "(none, which IPv6 does not allow)";
  } else if (whole_) {
    Bytes zeroed(bytes.begin(), bytes.end());
    SetU16At(zeroed, at, 0);
    Bytes pseudo;
    if (protocol_ != IPPROTO_ICMP) pseudo = PseudoHeader(src_, dst_, protocol_, bytes.size());
    unsigned right = Checksum({pseudo, zeroed});
    if (protocol_ == IPPROTO_UDP && right == 0) right = 0xffff;
    verdict = is == right ? "(right)" : fmt::format("(wrong, {:04x} is right)", right);
  }
  Add("checksum", "{:04x} {}", is, verdict);
}

void Reading::Tcp(View bytes) {
  if (bytes.size() < 4) return Rest("rest", bytes);
  Add("source port", "{}", U16At(bytes, 0));
  Add("destination port", "{}", U16At(bytes, 2));
  if (bytes.size() < 20) return Rest("rest", bytes.subspan(4));
  Add("sequence", "{}", U32At(bytes, 4));
  Add("acknowledges", "{}", U32At(bytes, 8));
  Add("header words", "{}", bytes[12] >> 4);
  Add("flags", "{}", TcpFlags(bytes[13]));
  Add("window", "{}", U16At(bytes, 14));
  Add("urgent", "{}", U16At(bytes, 18));
  ChecksumField(bytes, 16);
  size_t header = std::clamp<size_t>((bytes[12] >> 4) * 4U, 20, bytes.size());
  Rest("tcp options", bytes.subspan(20, header - 20));
  Rest("payload", bytes.subspan(header));
}

void Reading::Udp(View bytes) {
  if (bytes.size() < 4) return Rest("rest", bytes);
  Add("source port", "{}", U16At(bytes, 0));
  Add("destination port", "{}", U16At(bytes, 2));
  if (bytes.size() < 8) return Rest("rest", bytes.subspan(4));
  Add("udp length", "{}", U16At(bytes, 4));
  ChecksumField(bytes, 6);
  Rest("payload", bytes.subspan(8));
}

void Reading::Icmp(View bytes) {
  if (bytes.size() < 8) return Rest("rest", bytes);
  bool v4 = protocol_ == IPPROTO_ICMP;
  uint8_t type = bytes[0];
  Add("icmp type", "{}", type);
  Add("icmp code", "{}", bytes[1]);
  ChecksumField(bytes, 2);
  Add("icmp rest", "{:08x}", U32At(bytes, 4));
  bool error = v4 ? type == 3 || type == 11 || type == 12 : type < 128;
  if (!error) return Rest("payload", bytes.subspan(8));
  Reading(fields_, prefix_ + "quoted ").Ip(bytes.subspan(8));
}

}  // namespace

std::vector<Field> Dissect(std::span<const uint8_t> frame) {
  std::vector<Field> fields;
  Reading reading(fields, "");
  if (frame.size() < 14) {
    reading.Rest("rest", frame);
    return fields;
  }
  reading.Add("link destination", "{}", MacText(frame.subspan(0, 6)));
  reading.Add("link source", "{}", MacText(frame.subspan(6, 6)));
  size_t at = 12;
  while (at + 6 <= frame.size() && (U16At(frame, at) == 0x8100 || U16At(frame, at) == 0x88a8)) {
    reading.Add("vlan", "{}", U16At(frame, at + 2));
    at += 4;
  }
  reading.Add("ethertype", "{:04x}", U16At(frame, at));
  reading.Ip(frame.subspan(at + 2));
  return fields;
}

std::string Brief(std::span<const uint8_t> frame) {
  std::string text;
  auto value = [fields = Dissect(frame)](std::string_view name) {
    auto it =
        std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; });
    return it == fields.end() ? std::string() : it->value;
  };
  auto end = [&](std::string_view address, std::string_view port) {
    return value(port).empty() ? value(address) : fmt::format("{} port {}", value(address), value(port));
  };
  std::string protocol = value("protocol");
  text = fmt::format("{} > {}", end("source", "source port"), end("destination", "destination port"));
  if (protocol == "6") return fmt::format("{} TCP {}", text, value("flags"));
  if (protocol == "17") return text + " UDP";
  if (!value("icmp type").empty())
    return fmt::format("{} ICMP type {} code {}", text, value("icmp type"), value("icmp code"));
  return fmt::format("{} protocol {}", text, protocol);
}

}  // namespace fairlead::test
