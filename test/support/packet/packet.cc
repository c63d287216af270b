// SPDX-License-Identifier: Apache-2.0
#include "test/support/packet/packet.h"

#include <netinet/in.h>

#include <algorithm>

#include "test/support/objects.h"

namespace fairlead::test {

namespace {

enum TcpFlag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16 };

constexpr unsigned kEthernetIpv4 = 0x0800, kEthernetIpv6 = 0x86dd, kEthernetVlan = 0x8100;
constexpr size_t kUdpHeader = 8;

Bytes Padded(Bytes options) {
  options.resize((options.size() + 3) / 4 * 4);
  return options;
}

}  // namespace

Packet Ip(std::string_view src, std::string_view dst) {
  return {Addr(src), Addr(dst)};
}

// --- link and IP

Packet& Packet::Link(const Mac& from, const Mac& to) {
  link_from_ = from;
  link_to_ = to;
  return *this;
}

Packet& Packet::Vlan(uint16_t id) {
  vlans_.push_back(id);
  return *this;
}

Packet& Packet::From(std::string_view address) {
  src_ = Addr(address);
  return *this;
}

Packet& Packet::To(std::string_view address) {
  dst_ = Addr(address);
  return *this;
}

Packet& Packet::Ttl(uint8_t ttl) {
  ttl_ = ttl;
  return *this;
}

Packet& Packet::Tos(uint8_t tos) {
  tos_ = tos;
  return *this;
}

Packet& Packet::Id(uint16_t id) {
  id_ = id;
  return *this;
}

Packet& Packet::DontFragment(bool set) {
  dont_fragment_ = set;
  return *this;
}

Packet& Packet::FlowLabel(uint32_t label) {
  flow_label_ = label;
  return *this;
}

Packet& Packet::Options(Bytes options) {
  options_ = Padded(std::move(options));
  return *this;
}

Packet& Packet::Extension(uint8_t type, size_t size) {
  extensions_.emplace_back(type, size);
  return *this;
}

Packet& Packet::Fragment(uint32_t id, size_t offset, size_t length) {
  part_ = {id, offset, length};
  return *this;
}

// --- transport

Packet& Packet::Tcp(uint16_t sport, uint16_t dport) {
  protocol_ = IPPROTO_TCP;
  sport_ = sport;
  dport_ = dport;
  return *this;
}

Packet& Packet::Udp(uint16_t sport, uint16_t dport) {
  protocol_ = IPPROTO_UDP;
  sport_ = sport;
  dport_ = dport;
  return *this;
}

Packet& Packet::From(std::string_view address, uint16_t port) {
  sport_ = port;
  return From(address);
}

Packet& Packet::To(std::string_view address, uint16_t port) {
  dport_ = port;
  return To(address);
}

Packet& Packet::Syn() {
  tcp_flags_ |= kSyn;
  return *this;
}

Packet& Packet::Ack() {
  tcp_flags_ |= kAck;
  return *this;
}

Packet& Packet::Fin() {
  tcp_flags_ |= kFin;
  return *this;
}

Packet& Packet::Rst() {
  tcp_flags_ |= kRst;
  return *this;
}

Packet& Packet::Psh() {
  tcp_flags_ |= kPsh;
  return *this;
}

Packet& Packet::Seq(uint32_t seq) {
  seq_ = seq;
  return *this;
}

Packet& Packet::AckNumber(uint32_t number) {
  ack_ = number;
  return Ack();
}

Packet& Packet::Window(uint16_t window) {
  window_ = window;
  return *this;
}

Packet& Packet::TcpOptions(Bytes options) {
  tcp_options_ = Padded(std::move(options));
  return *this;
}

Packet& Packet::NoChecksum() {
  no_checksum_ = true;
  return *this;
}

Packet& Packet::Protocol(uint8_t protocol) {
  protocol_ = protocol;
  return *this;
}

Packet& Packet::Payload(std::string_view text) {
  payload_.assign(text.begin(), text.end());
  return *this;
}

Packet& Packet::Payload(size_t size) {
  payload_.resize(size);
  for (size_t i = 0; i < size; ++i) payload_[i] = static_cast<uint8_t>(i * 7 + i / 256);
  return *this;
}

// --- ICMP

Packet& Packet::Icmp(uint8_t type, uint8_t code, uint32_t rest, Bytes body) {
  protocol_ = V4() ? uint8_t{IPPROTO_ICMP} : uint8_t{IPPROTO_ICMPV6};
  icmp_type_ = type;
  icmp_code_ = code;
  icmp_rest_ = rest;
  payload_ = std::move(body);
  return *this;
}

Packet& Packet::Ping(uint16_t id, uint16_t sequence) {
  return Icmp(V4() ? 8 : 128, 0, uint32_t{id} << 16 | sequence, payload_);
}

Packet& Packet::Pong(uint16_t id, uint16_t sequence) {
  return Icmp(V4() ? 0 : 129, 0, uint32_t{id} << 16 | sequence, payload_);
}

Packet& Packet::Error(uint8_t type, uint8_t code, uint32_t rest, const Packet& about, size_t most) {
  Bytes quoted = about.FromIp();
  quoted.resize(std::min(quoted.size(), most));
  return Icmp(type, code, rest, std::move(quoted));
}

Packet& Packet::Unreachable(uint8_t code, const Packet& about, size_t most) {
  return Error(V4() ? 3 : 1, code, 0, about, most);
}

Packet& Packet::PortUnreachable(const Packet& about, size_t most) {
  return Unreachable(V4() ? 3 : 4, about, most);
}

Packet& Packet::TooBig(uint16_t mtu, const Packet& about, size_t most) {
  return V4() ? Error(3, 4, mtu, about, most) : Error(2, 0, mtu, about, most);
}

Packet& Packet::TimeExceeded(const Packet& about, size_t most) {
  return Error(V4() ? 11 : 3, 0, 0, about, most);
}

Packet& Packet::Carry(const Packet& inner) {
  payload_ = inner.FromIp();
  return Protocol(inner.V4() ? uint8_t{IPPROTO_IPIP} : uint8_t{IPPROTO_IPV6});
}

// --- lies

Packet& Packet::ClaimIpLength(uint16_t length) {
  claimed_ip_length_ = length;
  return *this;
}

Packet& Packet::ClaimHeaderWords(uint8_t words) {
  claimed_header_words_ = words;
  return *this;
}

Packet& Packet::ClaimTransportWords(uint8_t words) {
  claimed_transport_words_ = words;
  return *this;
}

Packet& Packet::ClaimUdpLength(uint16_t length) {
  claimed_udp_length_ = length;
  return *this;
}

Packet& Packet::BreakTransportChecksum() {
  broken_checksum_ = true;
  return *this;
}

// --- bytes

void Packet::Seal(Bytes& transport, size_t checksum_at) const {
  bool pseudo = protocol_ != IPPROTO_ICMP;
  Bytes header = pseudo ? PseudoHeader(src_, dst_, protocol_, transport.size()) : Bytes();
  uint16_t checksum = Checksum({header, transport});
  if (protocol_ == IPPROTO_UDP && checksum == 0) checksum = 0xffff;  // 0 on the wire means none (RFC 768)
  if (broken_checksum_) checksum ^= 0x0101;
  SetU16At(transport, checksum_at, checksum);
}

Bytes Packet::TcpHeader() const {
  Bytes bytes;
  size_t words = claimed_transport_words_.value_or(static_cast<uint8_t>(5 + tcp_options_.size() / 4));
  Writing(bytes).U16(sport_).U16(dport_).U32(seq_).U32(ack_);
  Writing(bytes).U8(static_cast<unsigned>(words << 4)).U8(tcp_flags_).U16(window_).U16(0).U16(0);
  Writing(bytes).All(tcp_options_);
  return bytes;
}

Bytes Packet::IcmpHeader() const {
  Bytes bytes;
  Writing(bytes).U8(icmp_type_).U8(icmp_code_).U16(0).U32(icmp_rest_);
  return bytes;
}

Bytes Packet::Transport() const {
  Bytes bytes;
  size_t checksum_at = 0;
  switch (protocol_) {
    case IPPROTO_TCP:
      bytes = TcpHeader();
      checksum_at = 16;
      break;
    case IPPROTO_UDP: {
      size_t length = claimed_udp_length_.value_or(static_cast<uint16_t>(kUdpHeader + payload_.size()));
      Writing(bytes).U16(sport_).U16(dport_).U16(static_cast<unsigned>(length)).U16(0);
      checksum_at = no_checksum_ ? 0 : 6;
      break;
    }
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      bytes = IcmpHeader();
      checksum_at = 2;
      break;
    default:
      break;
  }
  Writing(bytes).All(payload_);
  if (checksum_at) Seal(bytes, checksum_at);
  return bytes;
}

Bytes Packet::Ipv4Header(size_t payload, bool more) const {
  size_t words = 5 + options_.size() / 4;
  size_t length = claimed_ip_length_.value_or(static_cast<uint16_t>(words * 4 + payload));
  unsigned fragment = part_ ? static_cast<unsigned>(part_->offset / 8) : 0;
  fragment |= (more ? 0x2000U : 0) | (dont_fragment_ ? 0x4000U : 0);
  Bytes bytes;
  Writing(bytes).U8(0x40U | claimed_header_words_.value_or(static_cast<uint8_t>(words))).U8(tos_);
  Writing(bytes).U16(static_cast<unsigned>(length)).U16(part_ ? part_->id : id_).U16(fragment);
  Writing(bytes).U8(ttl_).U8(protocol_).U16(0).Ip(src_).Ip(dst_).All(options_);
  SetU16At(bytes, 10, Checksum({bytes}));
  return bytes;
}

Bytes Packet::Ipv6Header(size_t payload, bool more) const {
  std::vector<Bytes> headers;
  std::vector<uint8_t> types;
  for (const auto& [type, size] : extensions_) {
    types.push_back(type);
    Bytes& header = headers.emplace_back(size);
    // The authentication header counts words less two, the others eights less one (RFC 4302 2.2, RFC 8200 4).
    header[1] = static_cast<uint8_t>(type == IPPROTO_AH ? size / 4 - 2 : size / 8 - 1);
    bool options = type == IPPROTO_HOPOPTS || type == IPPROTO_DSTOPTS;
    if (options && size > 2) header[2] = 1;  // PadN over the rest
    if (options && size > 2) header[3] = static_cast<uint8_t>(size - 4);
  }
  if (part_) {
    types.push_back(IPPROTO_FRAGMENT);
    Bytes& header = headers.emplace_back();
    Writing(header).U16(0).U16(static_cast<unsigned>(part_->offset) | (more ? 1U : 0U)).U32(part_->id);
  }
  types.push_back(protocol_);
  size_t length = payload;
  for (size_t i = 0; i < headers.size(); ++i) {
    headers[i][0] = types[i + 1];
    length += headers[i].size();
  }
  length = claimed_ip_length_.value_or(static_cast<uint16_t>(length));

  Bytes bytes;
  Writing(bytes).U32(6U << 28 | uint32_t{tos_} << 20 | flow_label_).U16(static_cast<unsigned>(length));
  Writing(bytes).U8(types.front()).U8(ttl_).Ip(src_).Ip(dst_);
  for (const Bytes& header : headers) Writing(bytes).All(header);
  return bytes;
}

Bytes Packet::FromIp() const {
  Bytes transport = Transport();
  bool more = false;
  if (part_) {
    size_t begin = std::min(part_->offset, transport.size());
    size_t end = std::min(begin + part_->length, transport.size());
    more = end < transport.size();
    transport = Bytes(transport.begin() + static_cast<ptrdiff_t>(begin),
                      transport.begin() + static_cast<ptrdiff_t>(end));
  }
  Bytes bytes = V4() ? Ipv4Header(transport.size(), more) : Ipv6Header(transport.size(), more);
  Writing(bytes).All(transport);
  return bytes;
}

Bytes Packet::Frame() const {
  Bytes bytes;
  Writing to(bytes);
  to.All(link_to_).All(link_from_);
  for (uint16_t id : vlans_) to.U16(kEthernetVlan).U16(id);
  to.U16(V4() ? kEthernetIpv4 : kEthernetIpv6).All(FromIp());
  return bytes;
}

}  // namespace fairlead::test
