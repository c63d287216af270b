// SPDX-License-Identifier: Apache-2.0
// Packets in one line; lengths and checksums are computed.
//
//   Packet syn = Ip("203.0.113.2", "198.51.100.4").Tcp(40000, 80).Syn();
//   Packet out = Packet(syn).Ttl(63).From("192.168.99.11", 40000).To("10.180.1.11", 8080).Link(kNode, kN2);
//   Packet cut = Ip("fd00::1", "fd00::2").Udp(4000, 53).Payload(3000).Fragment(7, 0, 1400);
//   Packet err = Ip("192.168.99.1", "192.168.99.11").TooBig(1400, out, 28);
//
// A packet is a value: a changed copy is another packet. Link addresses not given are those of a packet that
// the gateway sends to the node under test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/address.h"
#include "test/support/packet/bytes.h"

namespace fairlead::test {

inline constexpr Mac kGatewayMac = {2, 0, 0, 0, 0, 0x01};
inline constexpr Mac kNodeMac = {2, 0, 0, 0, 0, 0x11};

class Packet {
 public:
  Packet(const Address& src, const Address& dst) : src_(src), dst_(dst) {}

  // --- link
  Packet& Link(const Mac& from, const Mac& to);
  Packet& Vlan(uint16_t id);  // the outer tag first

  // --- IP. Addresses of one family; it decides the version.
  Packet& From(std::string_view address);
  Packet& To(std::string_view address);
  Packet& Ttl(uint8_t ttl);  // hop limit
  Packet& Tos(uint8_t tos);  // traffic class
  Packet& Id(uint16_t id);   // IPv4
  Packet& DontFragment(bool set = true);
  Packet& FlowLabel(uint32_t label);
  Packet& Options(Bytes options);                    // IPv4; padded to words with end-of-options
  Packet& Extension(uint8_t type, size_t size = 8);  // IPv6, in this order; of zeros but for its length
  // Bytes [offset, offset + length) of what follows the IP header, as one fragment of datagram `id`. The
  // transport header is made, and its checksum computed, over the whole datagram first.
  Packet& Fragment(uint32_t id, size_t offset, size_t length);

  // --- transport
  Packet& Tcp(uint16_t sport, uint16_t dport);
  Packet& Udp(uint16_t sport, uint16_t dport);
  Packet& From(std::string_view address, uint16_t port);
  Packet& To(std::string_view address, uint16_t port);
  Packet& Syn();
  Packet& Ack();
  Packet& Fin();
  Packet& Rst();
  Packet& Psh();
  Packet& Seq(uint32_t seq);
  Packet& AckNumber(uint32_t number);  // sets the flag too
  Packet& Window(uint16_t window);
  Packet& TcpOptions(Bytes options);   // padded to words with end-of-options
  Packet& NoChecksum();                // UDP: 0, none
  Packet& Protocol(uint8_t protocol);  // any other: the payload alone
  Packet& Payload(std::string_view text);
  Packet& Payload(size_t size);  // bytes that differ from their neighbours

  // --- ICMP of the packet's family
  Packet& Ping(uint16_t id, uint16_t sequence);
  Packet& Pong(uint16_t id, uint16_t sequence);
  // Errors quote `about`, its first `most` bytes from the IP header on.
  Packet& Unreachable(uint8_t code, const Packet& about, size_t most = kWhole);
  Packet& PortUnreachable(const Packet& about, size_t most = kWhole);
  Packet& TooBig(uint16_t mtu, const Packet& about, size_t most = kWhole);
  Packet& TimeExceeded(const Packet& about, size_t most = kWhole);
  Packet& Icmp(uint8_t type, uint8_t code, uint32_t rest, Bytes body);

  // --- tunnel: `inner` is the payload, IPv4 or IPv6
  Packet& Carry(const Packet& inner);

  // --- lies, told after everything else is computed; checksums stay right
  Packet& ClaimIpLength(uint16_t length);      // IPv6: payload length
  Packet& ClaimHeaderWords(uint8_t words);     // IPv4: IHL
  Packet& ClaimTransportWords(uint8_t words);  // TCP: data offset
  Packet& ClaimUdpLength(uint16_t length);
  Packet& BreakTransportChecksum();

  Bytes Frame() const;  // from the Ethernet header on
  Bytes FromIp() const;
  const Address& src() const { return src_; }
  const Address& dst() const { return dst_; }

  static constexpr size_t kWhole = ~size_t{0};

 private:
  struct Part {
    uint32_t id;
    size_t offset, length;
  };
  Bytes Transport() const;
  Bytes TcpHeader() const;
  Bytes IcmpHeader() const;
  void Seal(Bytes& transport, size_t checksum_at) const;
  Bytes Ipv4Header(size_t payload, bool more) const;
  Bytes Ipv6Header(size_t payload, bool more) const;
  bool V4() const { return src_.GetFamily() == Family::kIpv4; }
  Packet& Error(uint8_t type, uint8_t code, uint32_t rest, const Packet& about, size_t most);

  Mac link_from_ = kGatewayMac, link_to_ = kNodeMac;
  std::vector<uint16_t> vlans_;
  Address src_, dst_;
  uint8_t ttl_ = 64, tos_ = 0;
  uint16_t id_ = 0;
  bool dont_fragment_ = false;
  uint32_t flow_label_ = 0;
  Bytes options_;
  std::vector<std::pair<uint8_t, size_t>> extensions_;
  std::optional<Part> part_;

  uint8_t protocol_ = 59;  // IPv6 no next header; a packet without transport
  uint16_t sport_ = 0, dport_ = 0;
  uint8_t tcp_flags_ = 0;
  uint32_t seq_ = 1000, ack_ = 0;
  uint16_t window_ = 65535;
  Bytes tcp_options_;
  bool no_checksum_ = false;
  uint8_t icmp_type_ = 0, icmp_code_ = 0;
  uint32_t icmp_rest_ = 0;
  Bytes payload_;

  std::optional<uint16_t> claimed_ip_length_, claimed_udp_length_;
  std::optional<uint8_t> claimed_header_words_, claimed_transport_words_;
  bool broken_checksum_ = false;
};

// Text that is no address aborts: it is a mistake in the test.
Packet Ip(std::string_view src, std::string_view dst);

}  // namespace fairlead::test
