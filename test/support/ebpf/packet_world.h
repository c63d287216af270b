// SPDX-License-Identifier: Apache-2.0
// Where the packets of packet tests come from and go to: the node under test with real devices, routes and
// neighbours, so that route lookups of the programs give real answers. Nobody sends anything here.
//
//   eth0   192.168.99.11  kNodeMac     the uplink: gateway .1 (kGatewayMac), n2 .12 (kN2Mac), and n3 .13,
//                                      whose link address is not known
//   eth1   192.168.98.11  kSecondMac   another uplink, to a router .1 (kRouterMac)
//   pod11  pod12          kHostMac     pods 10.180.0.11 (kPodMac) and .12 (kOtherPodMac)
//
//   10.180.1.0/24 by n2    10.180.2.0/24 by n3    10.180.3.0/24 by eth1's router
//   10.180.4.0/24 by n2, MTU 1400                 10.180.9.0/24 nowhere    the rest by the gateway
//
// and the same with fd00:192:168:9X:: and fd00:10:180:N::.
#pragma once

#include <string>
#include <vector>

#include "test/support/netns.h"
#include "test/support/packet/packet.h"

namespace fairlead::test {

inline constexpr Mac kN2Mac = {2, 0, 0, 0, 0, 0x12};
inline constexpr Mac kSecondMac = {2, 0, 0, 0, 0, 0x21};
inline constexpr Mac kRouterMac = {2, 0, 0, 0, 0, 0x22};
inline constexpr Mac kHostMac = {2, 0, 0, 0, 0, 0x30};
inline constexpr Mac kPodMac = {2, 0, 0, 0, 0, 0x31};
inline constexpr Mac kOtherPodMac = {2, 0, 0, 0, 0, 0x32};

// The addresses of a test that runs for both families.
struct Who {
  std::string client = "203.0.113.2", other_client = "203.0.113.130";
  std::string node = "192.168.99.11", second_node_address = "192.168.98.11", gateway = "192.168.99.1";
  std::string pod = "10.180.0.11", other_pod = "10.180.0.12";
  std::string remote = "10.180.1.11", other_remote = "10.180.1.12";  // pods on n2
  std::string remote_unknown = "10.180.2.11";                        // on n3: no link address
  std::string remote_second = "10.180.3.11";                         // by eth1
  std::string remote_small = "10.180.4.11";                          // by n2, MTU 1400
  std::string remote_nowhere = "10.180.9.11";
  std::string cluster_ip = "172.30.0.10", load_balancer = "198.51.100.4",
              other_load_balancer = "198.51.100.8";
  std::string external_ip = "198.51.100.22", unallocated = "172.30.99.99";
  Family family = Family::kIpv4;

  // "10.180.1.11:8080", "[fd00:10:180:1::11]:8080"
  static std::string At(std::string_view address, uint16_t port);
};
Who WhoOf(Family family);

class PacketWorld {
 public:
  // Throws std::runtime_error when the kernel refuses.
  PacketWorld();

  const Namespace& Node() const { return node_; }
  unsigned IfIndex(const std::string& device) const;

 private:
  void EnableXdp(const std::string& device);

  Namespace node_, wire_;
  Fd pass_;                  // an XDP program that passes everything
  std::vector<Fd> enabled_;  // its links: BPF_PROG_TEST_RUN takes only devices that have one
};

}  // namespace fairlead::test
