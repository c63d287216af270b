// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explain_packet.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <algorithm>
#include <span>

namespace fairlead::ctl {

namespace {

constexpr uint8_t kHops = 64;
constexpr LinkAddress kSender = {0x02, 0, 0, 0, 0, 0x01};  // locally administered: nobody's

using Bytes = std::vector<uint8_t>;

template <typename Header>
void Append(Bytes& bytes, const Header& header) {
  const auto* first = reinterpret_cast<const uint8_t*>(&header);
  bytes.insert(bytes.end(), first, first + sizeof(header));
}

// The Internet checksum (RFC 1071), ready to be stored.
uint16_t Checksum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

// TCP and UDP sum the addresses, protocol and length before their own bytes (RFC 9293 3.1, RFC 8200 8.1).
uint16_t TransportChecksum(const Question& question, const Bytes& segment) {
  Bytes bytes;
  const size_t skip = question.from.address.GetFamily() == Family::kIpv4 ? 12 : 0;
  for (const Address* address : {&question.from.address, &question.to.address})
    bytes.insert(bytes.end(), address->raw.bytes + skip, address->raw.bytes + 16);
  Append(bytes, htons(static_cast<uint16_t>(segment.size())));
  Append(bytes, htons(static_cast<uint16_t>(question.protocol)));
  bytes.insert(bytes.end(), segment.begin(), segment.end());
  return Checksum(bytes);
}

Bytes Tcp(const Question& question) {
  tcphdr header{};
  header.source = htons(question.from.port);
  header.dest = htons(question.to.port);
  header.seq = htonl(1);
  header.doff = sizeof(header) / 4;
  header.syn = 1;
  header.ack = question.at == EXPLAIN_EGRESS;
  header.window = htons(65535);
  Bytes segment;
  Append(segment, header);
  header.check = TransportChecksum(question, segment);
  segment.clear();
  Append(segment, header);
  return segment;
}

Bytes Udp(const Question& question) {
  udphdr header{};
  header.source = htons(question.from.port);
  header.dest = htons(question.to.port);
  header.len = htons(sizeof(header));
  Bytes segment;
  Append(segment, header);
  header.check = TransportChecksum(question, segment);
  if (header.check == 0) header.check = 0xffff;  // 0 says that there is none (RFC 768)
  segment.clear();
  Append(segment, header);
  return segment;
}

void AppendIpv4(Bytes& bytes, const Question& question, size_t payload) {
  iphdr header{};
  header.version = 4;
  header.ihl = sizeof(header) / 4;
  header.tot_len = htons(static_cast<uint16_t>(sizeof(header) + payload));
  header.frag_off = htons(0x4000);  // may not be fragmented
  header.ttl = kHops;
  header.protocol = static_cast<uint8_t>(question.protocol);
  header.saddr = question.from.address.raw.words[3];
  header.daddr = question.to.address.raw.words[3];
  header.check = Checksum({reinterpret_cast<const uint8_t*>(&header), sizeof(header)});
  Append(bytes, header);
}

void AppendIpv6(Bytes& bytes, const Question& question, size_t payload) {
  ipv6hdr header{};
  header.version = 6;
  header.payload_len = htons(static_cast<uint16_t>(payload));
  header.nexthdr = static_cast<uint8_t>(question.protocol);
  header.hop_limit = kHops;
  std::copy_n(question.from.address.raw.bytes, 16, reinterpret_cast<uint8_t*>(&header.saddr));
  std::copy_n(question.to.address.raw.bytes, 16, reinterpret_cast<uint8_t*>(&header.daddr));
  Append(bytes, header);
}

}  // namespace

std::vector<uint8_t> MakePacket(const Question& question, const LinkAddress& device) {
  const bool v4 = question.from.address.GetFamily() == Family::kIpv4;
  const Bytes segment = question.protocol == kube::Protocol::kTcp ? Tcp(question) : Udp(question);

  Bytes frame;
  ethhdr link{};
  std::copy(device.begin(), device.end(), link.h_dest);
  std::copy(kSender.begin(), kSender.end(), link.h_source);
  link.h_proto = htons(v4 ? ETH_P_IP : ETH_P_IPV6);
  Append(frame, link);
  if (v4) {
    AppendIpv4(frame, question, segment.size());
  } else {
    AppendIpv6(frame, question, segment.size());
  }
  frame.insert(frame.end(), segment.begin(), segment.end());
  return frame;
}

}  // namespace fairlead::ctl
