// SPDX-License-Identifier: Apache-2.0
// A test of one packet at a time, for both families, each through TC alone and through XDP and TC: where a
// packet ends must not depend on which of the two had it first.
//
//   using NodePortTest = PacketTest;
//   TEST_P(NodePortTest, IsServedOnEveryAddressOfTheNode) { ... rig().In(Ip(who.client, who.node).Udp(...)) }
//   INSTANTIATE_TEST_SUITE_P(Everywhere, NodePortTest, kEveryPath, PathName);
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "test/support/ebpf/kernel_rig.h"
#include "test/support/service_port.h"

namespace fairlead::test {

struct Path {
  Family family = Family::kIpv4;
  bool xdp = false;
};
inline const auto kEveryPath = testing::Values(Path{Family::kIpv4, false}, Path{Family::kIpv4, true},
                                               Path{Family::kIpv6, false}, Path{Family::kIpv6, true});
inline const auto kTcOnly = testing::Values(Path{Family::kIpv4, false}, Path{Family::kIpv6, false});
inline const auto kXdpOnly = testing::Values(Path{Family::kIpv4, true}, Path{Family::kIpv6, true});
inline const auto kIpv6Only = testing::Values(Path{Family::kIpv6, false}, Path{Family::kIpv6, true});
std::string PathName(const testing::TestParamInfo<Path>& info);  // "Ipv4Tc"

// What became of it, whichever program decided: "sent to a backend", "passed to a backend" (up the node's
// stack), "sent to the client", "passed to the client", "passed", "drop: DROP_TTL", "sent: ANSWERED_PING".
std::string Outcome(const Ran& ran);

class PacketTest : public testing::TestWithParam<Path> {
 protected:
  void SetUp() override;

  bool V4() const { return GetParam().family == Family::kIpv4; }
  KernelRig& rig() { return *rig_; }
  // In place of the rig that SetUp made; its xdp is the path's.
  void UseRig(RigOptions options);

  // shop/cart: cluster IP, load balancer and external IP with port 80, NodePort 30080; the cluster IP
  // masquerades for clients outside, unless said otherwise. Backends come with .On().
  PortOf Cart(plan::Masquerade cluster_ip = plan::Masquerade::kOutside) const;
  // The first packet of a connection from a client outside, by a source port the node gives away.
  Packet SynTo(std::string_view address, uint16_t port, uint16_t sport = 20000) const;

  const Who who = WhoOf(GetParam().family);

 private:
  std::unique_ptr<KernelRig> rig_;
};

}  // namespace fairlead::test
