// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/packet_test.h"

#include "test/support/sandbox.h"

namespace fairlead::test {

std::string PathName(const testing::TestParamInfo<Path>& info) {
  return fmt::format("{}{}", info.param.family == Family::kIpv4 ? "Ipv4" : "Ipv6",
                     info.param.xdp ? "Xdp" : "Tc");
}

std::string Outcome(const Ran& ran) {
  std::string how = ran.action == "pass" ? "passed" : ran.action;
  if (ran.verdict.empty()) return how;
  std::string word = ran.verdict.substr(ran.verdict.find(' ') + 1);
  if (word == "TRANSLATED" || word == "KEPT") return how + " to a backend";
  if (word == "RETURNED") return how + " to the client";
  return how + ": " + word;
}

void PacketTest::SetUp() {
  if (auto why = WhyNoLab()) GTEST_SKIP() << *why;
  UseRig({});
}

void PacketTest::UseRig(RigOptions options) {
  options.xdp = GetParam().xdp;
  rig_.reset();  // its tables are for the next one
  rig_ = std::make_unique<KernelRig>(options);
}

PortOf PacketTest::Cart(plan::Masquerade cluster_ip) const {
  return PortOf("shop/cart")
      .ClusterIp(who.cluster_ip, 80, cluster_ip)
      .LoadBalancer(who.load_balancer, 80)
      .ExternalIp(who.external_ip, 80)
      .NodePort(30080);
}

Packet PacketTest::SynTo(std::string_view address, uint16_t port, uint16_t sport) const {
  return Ip(who.client, address).Tcp(sport, port).Syn();
}

}  // namespace fairlead::test
