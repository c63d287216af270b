// SPDX-License-Identifier: Apache-2.0
#include "test/support/syn_flood.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "test/support/sandbox.h"

namespace fairlead::test {
namespace {

constexpr uint32_t kSources = 0xc6120000;  // 198.18.0.0
constexpr uint32_t kSourceMask = 0x0001ffff;

struct Syn {
  iphdr ip;
  tcphdr tcp;
};
static_assert(sizeof(Syn) == 40);

// RFC 1071, of the TCP header and its pseudo header.
uint16_t TcpChecksum(const Syn& syn) {
  uint16_t words[sizeof(tcphdr) / 2];
  std::memcpy(words, &syn.tcp, sizeof(words));
  uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof(tcphdr));
  for (const uint32_t address : {syn.ip.saddr, syn.ip.daddr}) sum += (address & 0xffff) + (address >> 16);
  for (const uint16_t word : words) sum += word;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Syn MakeSyn(const Target& to, uint32_t number) {
  Syn syn{};
  syn.ip.version = 4;
  syn.ip.ihl = 5;
  syn.ip.ttl = 64;
  syn.ip.protocol = IPPROTO_TCP;  // length, id and checksum are the kernel's
  syn.ip.saddr = htonl(kSources | (number * 2654435761U & kSourceMask));
  std::memcpy(&syn.ip.daddr, &to.address.raw.words[3], sizeof(syn.ip.daddr));
  syn.tcp.source = htons(static_cast<uint16_t>(1024 + number % 60000));
  syn.tcp.dest = htons(to.port);
  syn.tcp.seq = htonl(number);
  syn.tcp.doff = sizeof(tcphdr) / 4;
  syn.tcp.syn = 1;
  syn.tcp.window = htons(65535);
  syn.tcp.check = TcpChecksum(syn);
  return syn;
}

}  // namespace

void SynFlood(const Namespace& from, const Target& to, int count) {
  const Fd raw = Sandbox::Get().Socket(from, AF_INET, SOCK_RAW, IPPROTO_RAW);
  SocketAddress remote = SocketAddress::Of({to.address, 0}, AF_INET);
  for (int i = 0; i < count; ++i) {
    const Syn syn = MakeSyn(to, static_cast<uint32_t>(i));
    const ssize_t sent = ::sendto(raw.Get(), &syn, sizeof(syn), 0, remote.Raw(), remote.length);
    if (sent != sizeof(syn) && errno != ENOBUFS)
      throw std::runtime_error(fmt::format("SYN to {}: {}", to.ToString(), std::strerror(errno)));
  }
}

}  // namespace fairlead::test
